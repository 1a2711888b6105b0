package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
)

func TestSource(t *testing.T) {
	for i, want := range map[int]string{0: "127.0.0.2", perAddress - 1: "127.0.0.2", perAddress: "127.0.0.3", mostClients - 1: "127.0.0.201"} {
		if got := source(i).String(); got != want {
			t.Errorf("source(%d): got %s, want %s", i, got, want)
		}
	}
}

func TestConnect(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host, _, err := net.SplitHostPort(r.RemoteAddr); err != nil || host != "127.0.0.2" {
			t.Errorf("a client from %s, want 127.0.0.2", r.RemoteAddr)
		}
		w.Write([]byte("Hello, heddle\n"))
	}))
	defer srv.Close()
	clients, err := connect(context.Background(), srv.Listener.Addr().String(), 50, true)
	defer closeAll(clients)
	if err != nil {
		if runtime.GOOS != "linux" {
			t.Skipf("only Linux has all of 127.0.0.0/8: %v", err)
		}
		t.Fatal(err)
	}
	for i, c := range clients {
		if c == nil {
			t.Errorf("client %d is missing", i)
		}
	}
}
