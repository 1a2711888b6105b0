package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec"
	"github.com/heddle-go/heddle/service"
)

// callsProgram is a client of an app by its locator: calls LOCATOR DIALECT APP EVENT URI
// FILE asks for URI again and again until FILE is there, at least once, and says what
// came last and how many of the calls failed. To /sum it sends 3 MiB.
func callsProgram() {
	dialect := map[string]service.Dialect{"v0": service.DialectV0, "v1": service.DialectV1}[os.Args[2]]
	client, err := service.NewClient(service.ClientOptions{Locators: []string{os.Args[1]}, Dialect: dialect})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	app, err := client.Service(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	failed, last := 0, ""
	for done := false; !done; {
		_, err := os.Lstat(os.Args[6])
		done = err == nil
		if last, err = askApp(app, dialect, os.Args[4], os.Args[5]); err != nil {
			failed++
			fmt.Println(err)
		}
	}
	fmt.Printf("%d failed, the last one got %s\n", failed, strings.TrimSpace(last))
}

// askApp makes one request of an app, and returns the body of its answer.
func askApp(app *service.Service, dialect service.Dialect, event, uri string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	head := heddle.RequestHead{Method: []byte("GET"), URI: []byte(uri), Version: []byte("1.1")}
	if uri == "/sum" {
		head.Method, head.Body = []byte("POST"), make([]byte, 3<<20)
	}
	request := codec.AppendRequestHead(nil, &head, true)
	args := []any{event}
	if dialect == service.DialectV0 {
		args = append(args, request)
	}
	st, err := app.Stream(ctx, "enqueue", args...)
	if err != nil {
		return "", err
	}
	defer st.Close()
	if dialect == service.DialectV1 {
		if err := st.SendRaw(request); err != nil {
			return "", err
		}
		if err := st.CloseSend(); err != nil {
			return "", err
		}
	}
	answer, err := st.RecvRaw()
	if err != nil {
		return "", err
	}
	if n := codec.ArgCount(answer); n != 2 { // code and fields: a third element is between Heddle ends only
		return "", fmt.Errorf("a head of %d elements", n)
	}
	if dialect == service.DialectV0 {
		return service.Recv[string](st)
	}
	body, err := st.RecvRaw()
	return string(body), err
}
