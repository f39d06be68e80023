package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/build/buildlet"
)

// call makes one call of Go's client and tells all that it gave.
func call(ctx context.Context, client buildlet.Client, req request) (answer, error) {
	switch req.Op {
	case "facts":
		return answer{
			"name": client.Name(), "url": client.URL(), "ipPort": client.IPPort(), "broken": client.IsBroken(), "text": client.String(),
		}, nil
	case "setName":
		client.SetName(req.Name)
		return nil, nil
	case "setDescription":
		client.SetDescription(req.Name)
		return nil, nil
	case "markBroken":
		client.MarkBroken()
		return nil, nil
	case "status":
		status, err := client.Status(ctx)
		return answer{"version": status.Version}, err
	case "workDir":
		dir, err := client.WorkDir(ctx)
		return answer{"dir": dir}, err
	case "put":
		return nil, client.Put(ctx, bytes.NewReader(req.Data), req.Path, fileMode(req.Mode))
	case "putTar":
		return nil, client.PutTar(ctx, bytes.NewReader(req.Data), req.Dir)
	case "putTarFromURL":
		return nil, client.PutTarFromURL(ctx, req.URL, req.Dir)
	case "removeAll":
		return nil, client.RemoveAll(ctx, req.Paths...)
	case "getTar":
		return getTar(ctx, client, req.Dir)
	case "list":
		return list(ctx, client, req)
	case "exec":
		return exec(ctx, client, req)
	case "connectSSH":
		return connectSSH(client, req)
	case "close":
		return nil, client.Close()
	}
	return nil, fmt.Errorf("no such call: %q", req.Op)
}

// fileMode makes Go's mode of one that stat(2) tells.
func fileMode(mode uint32) os.FileMode {
	is := os.FileMode(mode & 0777)
	if mode&04000 != 0 {
		is |= os.ModeSetuid
	}
	return is
}

func getTar(ctx context.Context, client buildlet.Client, dir string) (answer, error) {
	body, err := client.GetTar(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	return answer{"data": data}, err
}

func list(ctx context.Context, client buildlet.Client, req request) (answer, error) {
	entries := []answer{}
	options := buildlet.ListDirOpts{Recursive: req.Recursive, Digest: req.Digest, Skip: req.Skip}
	err := client.ListDir(ctx, req.Dir, options, func(entry buildlet.DirEntry) {
		entries = append(entries, answer{
			"line": entry.String(), "name": entry.Name(), "perm": entry.Perm(), "isDir": entry.IsDir(), "digest": entry.Digest(),
		})
	})
	return answer{"entries": entries}, err
}

// outputEvents tells output as it comes.
type outputEvents struct{ id int }

func (o outputEvents) Write(data []byte) (int, error) {
	write(answer{"event": "output", "of": o.id, "data": data})
	return len(data), nil
}

func exec(ctx context.Context, client buildlet.Client, req request) (answer, error) {
	remoteErr, execErr := client.Exec(ctx, req.Path, buildlet.ExecOpts{
		Output: outputEvents{req.ID}, Dir: req.Dir, Args: req.Args, ExtraEnv: req.Env, Path: req.SearchPath,
		SystemLevel: req.SystemLevel, Debug: req.Debug,
		OnStartExec: func() { write(answer{"event": "started", "of": req.ID}) },
	})
	got := answer{"timedOut": execErr == buildlet.ErrTimeout}
	if remoteErr != nil {
		got["remoteErr"] = remoteErr.Error()
	}
	if execErr != nil {
		got["execErr"] = execErr.Error()
	}
	return got, nil
}

// connectSSH gives the connection away as a port of this machine that takes one connection.
func connectSSH(client buildlet.Client, req request) (answer, error) {
	remote, err := client.ConnectSSH(req.User, req.Key)
	if err != nil {
		return nil, err
	}
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		remote.Close()
		return nil, err
	}
	go func() {
		defer remote.Close()
		local, err := door.Accept()
		door.Close()
		if err != nil {
			return
		}
		defer local.Close()
		ended := make(chan error, 2)
		go func() { _, err := io.Copy(remote, local); ended <- err }()
		go func() { _, err := io.Copy(local, remote); ended <- err }()
		<-ended
	}()
	return answer{"port": door.Addr().(*net.TCPAddr).Port}, nil
}
