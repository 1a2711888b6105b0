package host_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/heddle-go/heddle/loop"
	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/host"
	"github.com/heddle-go/heddle/session"
	"github.com/heddle-go/heddle/worker"
	"github.com/heddle-go/heddle/worker/engine"
)

// everywhere runs f with a client of a cloud on TCP, and then on unix sockets. Apps may
// be nil.
func everywhere(loops []*loop.Loop, apps func(c *host.Cloud) error, f func(ctx context.Context, client *service.Client)) {
	dir, err := os.MkdirTemp("", "cloud")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, at := range []string{"127.0.0.1:0", "unix:" + filepath.Join(dir, "locator")} {
		c, err := host.Start(host.Options{Locator: at, Loops: loops, Storage: filepath.Join(dir, "storage"), Verbosity: 1})
		if err != nil {
			log.Fatal(err)
		}
		if apps != nil {
			if err := apps(c); err != nil {
				log.Fatal(err)
			}
		}
		client, err := service.NewClient(service.ClientOptions{Locators: []string{c.Addr()}})
		if err != nil {
			log.Fatal(err)
		}
		f(ctx, client)
		client.Close()
		if err := c.Close(ctx); err != nil {
			log.Fatal(err)
		}
	}
}

// The service storage, from a client in Go: an object is written, read, and found by
// its tags.
func Example_storage() {
	everywhere(nil, nil, func(ctx context.Context, client *service.Client) {
		storage, err := client.Service("storage")
		if err != nil {
			log.Fatal(err)
		}
		if _, err := storage.Call(ctx, "write", "photos", "cat", []byte{0xff, 0xd8}, []string{"pet"}); err != nil {
			log.Fatal(err)
		}
		blob, err := service.Call[[]byte](ctx, storage, "read", "photos", "cat")
		fmt.Printf("%x %v\n", blob, err)
		keys, err := service.Call[[]string](ctx, storage, "find", "photos", []string{"pet"})
		fmt.Println(keys, err)
		_, err = storage.Call(ctx, "read", "photos", "../../etc/passwd")
		fmt.Println(err)
	})
	// Output:
	// ffd8 <nil>
	// [cat] <nil>
	// service storage: read: error [12,22]: photos/../../etc/passwd: Invalid argument
	// ffd8 <nil>
	// [cat] <nil>
	// service storage: read: error [12,22]: photos/../../etc/passwd: Invalid argument
}

// The service logging says which lines it wants: 1 is info, and what is worse.
func Example_logging() {
	everywhere(nil, nil, func(ctx context.Context, client *service.Client) {
		logging, err := client.Service("logging")
		if err != nil {
			log.Fatal(err)
		}
		level, err := service.Call[int](ctx, logging, "verbosity")
		fmt.Println(level, err)
	})
	// Output:
	// 1 <nil>
	// 1 <nil>
}

// echo is the program of the app: this one, as which the engine starts it.
func echo() {
	w, err := worker.New(worker.Options{})
	if err != nil {
		log.Fatal(err)
	}
	w.Handle("echo", worker.HandlerFunc(func(_ context.Context, s *session.Session) {
		for {
			m, err := s.Recv()
			if err != nil {
				return // and the worker ends our direction
			}
			err = s.WriteChunk(m.Data)
			m.Drop()
			if err != nil {
				return // nobody is there to be told
			}
		}
	}))
	if err := w.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// envEcho has this test binary be echo.
const envEcho = "HOST_TEST_ECHO"

func init() { // TestMain is in package host, and knows nothing of it
	if os.Getenv(envEcho) != "" {
		echo()
		os.Exit(0)
	}
}

// An app of an engine, called by enqueue from a client in Go.
func Example_enqueue() {
	quiet := slog.New(slog.DiscardHandler)
	e, err := engine.New(engine.Options{Path: os.Args[0], Env: []string{envEcho + "=1"}, Workers: 1, Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := e.Start(ctx); err != nil {
		log.Fatal(err)
	}
	app := func(c *host.Cloud) error { return c.AddApp(host.App{Name: "shop", Opener: e}) }
	everywhere(e.Loops(), app, func(ctx context.Context, client *service.Client) {
		shop, err := client.Service("shop")
		if err != nil {
			log.Fatal(err)
		}
		st, err := shop.Stream(ctx, "enqueue", "echo")
		if err != nil {
			log.Fatal(err)
		}
		defer st.Close()
		for _, word := range []string{"warp", "weft"} {
			if err := st.SendRaw([]byte(word)); err != nil {
				log.Fatal(err)
			}
			answer, err := st.RecvRaw()
			fmt.Printf("%s %v\n", answer, err)
		}
		if err := st.CloseSend(); err != nil {
			log.Fatal(err)
		}
		_, err = st.RecvRaw()
		fmt.Println(err == io.EOF)
	})
	// Output:
	// warp <nil>
	// weft <nil>
	// true
	// warp <nil>
	// weft <nil>
	// true
}
