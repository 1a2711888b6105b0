package service_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/heddle-go/heddle/service"
)

// A program that reads from the storage of a Cocaine cloud, and tries each read
// three times.
func ExampleClient() {
	storage := &service.Definition{Methods: map[string]service.Method{
		"read": {Timeout: time.Second, Wrap: []service.Wrapper{func(next service.Invoker) service.Invoker {
			return func(ctx context.Context, in *service.Invocation) (v any, err error) {
				for range 3 {
					if v, err = next(ctx, in); err == nil {
						break
					}
				}
				return v, err
			}
		}}},
	}}
	client, err := service.NewClient(service.ClientOptions{
		Locators:    []string{"locator.example:10053"},
		Definitions: map[string]*service.Definition{"storage": storage},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	s, err := client.Service("storage")
	if err != nil {
		log.Fatal(err)
	}
	blob, err := service.Call[string](context.Background(), s, "read", "manifests", "my-app")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(blob))
}

// A call of an app's event: one piece in, any number of pieces out.
func ExampleService_Stream() {
	client, err := service.NewClient(service.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	app, err := client.Service("my-app")
	if err != nil {
		log.Fatal(err)
	}
	st, err := app.Stream(context.Background(), "enqueue", "event")
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	if err := st.Send("data"); err != nil {
		log.Fatal(err)
	}
	if err := st.CloseSend(); err != nil {
		log.Fatal(err)
	}
	for {
		piece, err := st.RecvRaw()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", piece)
	}
}
