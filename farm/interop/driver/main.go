// Command driver lets tests use Go's buildlet client and Go's reverse pool as they are. It reads one JSON request a line on
// standard input and writes one JSON answer a line for each, in the order in which they end; what happens meanwhile is written
// as events. It ends with its standard input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/build/buildlet"
)

type request struct {
	ID int    `json:"id"`
	Op string `json:"op"`
	// Client is a handle that "connect" or "grab" gave.
	Client    string   `json:"client"`
	Address   string   `json:"address"`
	Cert      string   `json:"cert"`
	Key       string   `json:"key"`
	MasterKey string   `json:"masterKey"`
	HostType  string   `json:"hostType"`
	Prefix    string   `json:"prefix"`
	Target    int      `json:"target"`
	TimeoutMs int      `json:"timeoutMs"`
	Name      string   `json:"name"`
	Dir       string   `json:"dir"`
	Path      string   `json:"path"`
	Paths     []string `json:"paths"`
	Mode      uint32   `json:"mode"`
	Data      []byte   `json:"data"`
	URL       string   `json:"url"`
	User      string   `json:"user"`

	Args        []string `json:"args"`
	Env         []string `json:"env"`
	SearchPath  []string `json:"searchPath"`
	SystemLevel bool     `json:"systemLevel"`
	Debug       bool     `json:"debug"`
	Recursive   bool     `json:"recursive"`
	Digest      bool     `json:"digest"`
	Skip        []string `json:"skip"`
}

// Written for Go 1.17, which these sources say they are.
type answer = map[string]interface{}

type driver struct {
	mu      sync.Mutex
	clients map[string]buildlet.Client
	cancels map[int]context.CancelFunc
	made    int
}

func main() {
	d := &driver{clients: map[string]buildlet.Client{}, cancels: map[int]context.CancelFunc{}}
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var req request
		if err := json.Unmarshal(line, &req); err != nil {
			write(answer{"id": -1, "error": err.Error()})
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		if req.TimeoutMs > 0 {
			ctx, cancel = context.WithTimeout(context.Background(), time.Duration(req.TimeoutMs)*time.Millisecond)
		}
		d.mu.Lock()
		d.cancels[req.ID] = cancel
		d.mu.Unlock()
		go d.serve(ctx, req)
	}
}

func (d *driver) serve(ctx context.Context, req request) {
	got, err := d.do(ctx, req)
	d.cancel(req.ID)
	if err != nil {
		got = answer{"error": err.Error()}
	} else if got == nil {
		got = answer{}
	}
	got["id"] = req.ID
	write(got)
}

func (d *driver) do(ctx context.Context, req request) (answer, error) {
	switch req.Op {
	case "connect":
		return d.connect(req), nil
	case "listen":
		return listen(req)
	case "grab":
		return d.grab(req.HostType), nil
	case "cancel":
		d.cancel(req.Target)
		return nil, nil
	}
	d.mu.Lock()
	client := d.clients[req.Client]
	d.mu.Unlock()
	if client == nil {
		return nil, fmt.Errorf("no client is called %q", req.Client)
	}
	return call(ctx, client, req)
}

func (d *driver) cancel(id int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if cancel := d.cancels[id]; cancel != nil {
		cancel()
		delete(d.cancels, id)
	}
}

func (d *driver) connect(req request) answer {
	client := buildlet.NewClient(req.Address, buildlet.KeyPair{CertPEM: req.Cert, KeyPEM: req.Key})
	handle := d.name(client)
	client.SetOnHeartbeatFailure(func() { write(answer{"event": "heartbeat-failure", "client": handle}) })
	return answer{"client": handle}
}

func (d *driver) name(client buildlet.Client) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.made++
	handle := fmt.Sprint("client-", d.made)
	d.clients[handle] = client
	return handle
}

var writing sync.Mutex

func write(value answer) {
	line, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	writing.Lock()
	defer writing.Unlock()
	os.Stdout.Write(append(line, '\n'))
}
