package main

import (
	"crypto/tls"
	"net"
	"net/http"

	"golang.org/x/build/internal/coordinator/pool"
	"golang.org/x/build/revdial/v2"
)

// listen serves what Go's coordinator serves to its buildlets. With a prefix it is as one of several sites under one name, which
// sends buildlets on to their own.
func listen(req request) (answer, error) {
	pair, err := tls.X509KeyPair([]byte(req.Cert), []byte(req.Key))
	if err != nil {
		return nil, err
	}
	door, err := net.Listen("tcp", req.Address)
	if err != nil {
		return nil, err
	}
	pool.SetBuilderMasterKey([]byte(req.MasterKey))
	mux := http.NewServeMux()
	mux.HandleFunc(req.Prefix+"/reverse", pool.HandleReverse)
	mux.Handle(req.Prefix+"/revdial", revdial.ConnHandler())
	if req.Prefix != "" {
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, req.Prefix+r.URL.RequestURI(), http.StatusTemporaryRedirect)
		})
	}
	// HTTP/1 only: these connections are taken over.
	server := &http.Server{Handler: mux, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	go server.Serve(tls.NewListener(door, &tls.Config{Certificates: []tls.Certificate{pair}}))
	return answer{"port": door.Addr().(*net.TCPAddr).Port}, nil
}

// grab takes an idle buildlet, as the pool does before it cleans it. What shall happen when it dies is the pool's affair.
func (d *driver) grab(hostType string) answer {
	client := pool.CroftGrab(hostType)
	if client == nil {
		return answer{"client": ""}
	}
	return answer{"client": d.name(client)}
}
