package service_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"strings"

	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/servicetest"
	"github.com/heddle-go/heddle/worker"
)

// Calls of one value, typed and not, and an error of the service's.
func ExampleService_Call() {
	cloud := newCloud(servicetest.Runtime012) // in place of a real one
	defer cloud.Close()
	client, err := service.NewClient(service.ClientOptions{Locators: []string{cloud.Endpoint()}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	storage, err := client.Service("storage")
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	if _, err := storage.Call(ctx, "write", "letters", "first", "hello", []string{"greeting"}); err != nil {
		log.Fatal(err)
	}
	text, err := service.Call[string](ctx, storage, "read", "letters", "first")
	fmt.Println(text, err)
	keys, err := service.Call[[]string](ctx, storage, "find", "letters", []string{"greeting"})
	fmt.Println(keys, err)

	_, err = storage.Call(ctx, "read", "letters", "second")
	var said *service.Error
	fmt.Println(errors.As(err, &said), said.Category, said.Code)
	_, err = storage.Call(ctx, "burn", "letters")
	fmt.Println(errors.Is(err, service.ErrNoMethod))

	// Output:
	// hello <nil>
	// [first] <nil>
	// true 12 2
	// true
}

// The client of a worker, which is told of locators when it is started. Started by
// hand it is told of none, and asks that of this machine.
func ExampleNewClient() {
	var o service.ClientOptions
	if l, ok := worker.Launched(); ok && l.Locator != "" {
		o.Locators = strings.Split(l.Locator, ",")
	}
	client, err := service.NewClient(o)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println(o.Locators)

	// Output:
	// []
}

// A stream in both directions at once.
func ExampleStream() {
	cloud := newCloud(servicetest.Runtime012)
	defer cloud.Close()
	client, err := service.NewClient(service.ClientOptions{Locators: []string{cloud.Endpoint()}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	sample, err := client.Service("sample")
	if err != nil {
		log.Fatal(err)
	}

	st, err := sample.Stream(context.Background(), "both")
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	for _, word := range []string{"warp", "weft"} {
		if err := st.Send(word); err != nil {
			log.Fatal(err)
		}
	}
	if err := st.CloseSend(); err != nil {
		log.Fatal(err)
	}
	for {
		word, err := service.Recv[string](st)
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(word)
	}

	// Output:
	// warp
	// weft
}

// What a project knows of a service, in one place: how its methods are called, one
// that is added, and a wrapper that tries again.
func ExampleDefinition() {
	again := func(next service.Invoker) service.Invoker {
		return func(ctx context.Context, in *service.Invocation) (any, error) {
			v, err := next(ctx, in)
			if errors.Is(err, service.ErrDisconnected) {
				fmt.Println("again:", in.Method)
				v, err = next(ctx, in)
			}
			return v, err
		}
	}
	definition := &service.Definition{
		Wrap: []service.Wrapper{again},
		Methods: map[string]service.Method{
			"count": {Target: "download", Unpack: service.UnpackWith(func(_ context.Context, st *service.Stream) (any, error) {
				for n := 0; ; n++ {
					if _, err := st.Recv(); err == io.EOF {
						return n, nil
					} else if err != nil {
						return nil, err
					}
				}
			})},
			"greet": {Do: func(ctx context.Context, in *service.Invocation) (any, error) {
				return in.Service.Call(ctx, "value", fmt.Sprint("hello, ", in.Args[0]))
			}},
		},
	}

	cloud := newCloud(servicetest.Runtime011) // both dialects are the same here
	defer cloud.Close()
	client, err := service.NewClient(service.ClientOptions{
		Locators:    []string{cloud.Endpoint()},
		Definitions: map[string]*service.Definition{"sample": definition},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	sample, err := client.Service("sample")
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	n, err := service.Call[int](ctx, sample, "count", 7)
	fmt.Println(n, err)
	text, err := sample.Call(ctx, "greet", "world")
	fmt.Println(text, err)
	cloud.Service("sample").SetFaults(servicetest.Faults{Method: "void", Fault: servicetest.HangUp})
	_, err = sample.Call(ctx, "void")
	fmt.Println(errors.Is(err, service.ErrDisconnected))

	// Output:
	// 7 <nil>
	// hello, world <nil>
	// again: void
	// true
}

// A Storage is a service as a Go type.
type Storage struct{ s *service.Service }

// Read returns what is stored.
func (s Storage) Read(ctx context.Context, collection, key string) ([]byte, error) {
	return service.Call[[]byte](ctx, s.s, "read", collection, key)
}

// Write stores a blob.
func (s Storage) Write(ctx context.Context, collection, key string, blob []byte, tags ...string) error {
	tags = append([]string{}, tags...) // not nil, which is no array to the service
	_, err := s.s.Call(ctx, "write", collection, key, blob, tags)
	return err
}

// A service as a Go type of one's own.
func ExampleGet() {
	cloud := newCloud(servicetest.Runtime012)
	defer cloud.Close()
	client, err := service.NewClient(service.ClientOptions{Locators: []string{cloud.Endpoint()}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	storage, err := service.Get(client, "storage", func(s *service.Service) Storage { return Storage{s} })
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	fmt.Println(storage.Write(ctx, "letters", "first", []byte("hello")))
	blob, err := storage.Read(ctx, "letters", "first")
	fmt.Printf("%s %v\n", blob, err)

	// Output:
	// <nil>
	// hello <nil>
}

// The cloud's log, by the Logger's own methods and as a slog.Handler.
func ExampleClient_Logger() {
	cloud := newCloud(servicetest.Runtime012)
	defer cloud.Close()
	client, err := service.NewClient(service.ClientOptions{Locators: []string{cloud.Endpoint()}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	logger, err := client.Logger("shop", service.LoggerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer logger.Close()

	ctx := context.Background()
	if err := logger.Flush(ctx); err != nil { // the verbosity is known from here on
		log.Fatal(err)
	}
	logger.Warning("stock is low", "item", "shuttle", "left", 3)
	logger.Infof("%d customers", 42)
	log := slog.New(logger.Handler()).With("user", "ada").WithGroup("order")
	log.Info("paid", "sum", 12.5)
	if err := logger.Flush(ctx); err != nil {
		fmt.Println(err)
	}

	for _, e := range cloud.Logged() {
		fmt.Println(e.Level, e.Source, e.Message, e.Attrs)
	}

	// Output:
	// 2 app/shop stock is low [{item shuttle} {left 3}]
	// 1 app/shop 42 customers []
	// 1 app/shop paid [{user ada} {order.sum 12.5}]
}
