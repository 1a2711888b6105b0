// Rpc is a grpc-go server as an http.Handler: its health service and an echo,
// with calls of all four kinds. Clients reach it over HTTP/2, in clear or by TLS.
//
//	cd examples/apps && heddle run ./rpc
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/heddle-go/heddle/httpcompat"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to serve on when started by hand")
	flag.Parse()
	srv := &http.Server{Addr: *addr, Handler: handler(), Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true) // what the front does, when started by hand
	log.Fatal(httpcompat.Serve(srv))
}

func handler() http.Handler {
	s := grpc.NewServer()
	healthpb.RegisterHealthServer(s, health.NewServer())
	s.RegisterService(&echoService, echo{})
	return s
}

// A text is the message of every call.
type text = wrapperspb.StringValue

// echoService describes the calls, as generated code would.
//
//	rpc Say(StringValue) returns (StringValue)                 what was said; "fail" fails
//	rpc Count(StringValue) returns (stream StringValue)        the word, ten times
//	rpc Collect(stream StringValue) returns (StringValue)      how many came, and their bytes
//	rpc Talk(stream StringValue) returns (stream StringValue)  each at once
var echoService = grpc.ServiceDesc{
	ServiceName: "heddle.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Say", Handler: func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := new(text)
		if err := decode(in); err != nil {
			return nil, err
		}
		return srv.(echo).say(ctx, in)
	}}},
	Streams: []grpc.StreamDesc{
		{StreamName: "Count", ServerStreams: true, Handler: func(srv any, s grpc.ServerStream) error { return srv.(echo).count(s) }},
		{StreamName: "Collect", ClientStreams: true, Handler: func(srv any, s grpc.ServerStream) error { return srv.(echo).collect(s) }},
		{StreamName: "Talk", ServerStreams: true, ClientStreams: true, Handler: func(srv any, s grpc.ServerStream) error { return srv.(echo).talk(s) }},
	},
}

type echo struct{}

func (echo) say(ctx context.Context, in *text) (*text, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if err := grpc.SetHeader(ctx, metadata.Pairs("x-header", "begun")); err != nil {
		return nil, err
	}
	if err := grpc.SetTrailer(ctx, metadata.Join(metadata.Pairs("x-trailer", "done"), metadata.MD{"x-word": md["x-word"]})); err != nil {
		return nil, err
	}
	switch in.Value {
	case "fail":
		return nil, status.Error(codes.FailedPrecondition, "it fails: ü, 100%")
	case "hang":
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	return in, nil
}

func (echo) count(s grpc.ServerStream) error {
	in := new(text)
	if err := s.RecvMsg(in); err != nil {
		return err
	}
	for i := range 10 {
		if err := s.SendMsg(wrapperspb.String(fmt.Sprint(in.Value, " ", i))); err != nil {
			return err
		}
	}
	return nil
}

func (echo) collect(s grpc.ServerStream) error {
	n, size := 0, 0
	for {
		in := new(text)
		switch err := s.RecvMsg(in); {
		case err == io.EOF:
			return s.SendMsg(wrapperspb.String(fmt.Sprintf("%d messages, %d bytes", n, size)))
		case err != nil:
			return err
		}
		n, size = n+1, size+len(in.Value)
	}
}

func (echo) talk(s grpc.ServerStream) error {
	for {
		in := new(text)
		switch err := s.RecvMsg(in); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if err := s.SendMsg(in); err != nil {
			return err
		}
	}
}
