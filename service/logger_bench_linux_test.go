package service_test

import (
	"log/slog"
	"testing"

	"github.com/heddle-go/heddle/service"
	"github.com/heddle-go/heddle/service/servicetest"
)

// BenchmarkLogger is what whoever logs pays. The service is a model in the same
// process, and what it cannot take is dropped.
func BenchmarkLogger(b *testing.B) {
	warnings := 2
	c := servicetest.New(b, servicetest.Runtime012, servicetest.Options{Verbosity: &warnings})
	l, err := service.NewLogger("bench", service.LoggerOptions{Endpoints: []string{c.Service("logging").Endpoint()}, Dialect: service.DialectV1})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	if err := l.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	log := slog.New(l.Handler())
	for _, of := range []struct {
		name string
		log  func()
	}{
		{"disabled", func() { l.Info("text", "name", "value") }},
		{"plain", func() { l.Warning("text") }},
		{"attrs", func() { l.Warning("text", "name", "value", "n", 7) }},
		{"slog", func() { log.Warn("text", "name", "value", "n", 7) }},
	} {
		b.Run(of.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				of.log()
			}
		})
	}
}
