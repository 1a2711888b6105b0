package main

import (
	"github.com/spf13/cobra"

	"github.com/heddle-go/heddle/cmd/internal/bench"
)

// A benchTarget is what bench's command line says of whom it asks.
type benchTarget struct {
	http2, http1 bool
	insecure     bool
	cacert, sni  string
}

func (t *benchTarget) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&t.http2, "http2", false, "HTTP/2 only: over TLS, or with http:// and unix: at once; --pipeline streams on one connection")
	fs.BoolVar(&t.http1, "http1.1", false, "HTTP/1.1 only, over TLS, too (default: what the server would have)")
	fs.BoolVarP(&t.insecure, "insecure", "k", false, "with TLS: ask any server, whoever it is")
	fs.StringVar(&t.cacert, "cacert", "", "with TLS: a file of those who may vouch for the server, PEM (default: the system's)")
	fs.StringVar(&t.sni, "sni", "", "with TLS: the name that the server is asked for, and has to be (default: the URL's host)")
}

// maxCACert is how long a file of --cacert may be.
const maxCACert = 4 << 20 // bytes

// take has b ask the target of a URL.
func (t *benchTarget) take(b *bench.Options, url string) (err error) {
	if b.Target, err = bench.ParseTarget(url); err != nil {
		return benchUsage(err)
	}
	switch {
	case t.http2 && t.http1:
		return usage("bench", "--http2 and --http1.1 exclude each other")
	case t.http2:
		b.Target.HTTP = bench.HTTP2
	case t.http1:
		b.Target.HTTP = bench.HTTP1
	}
	if !b.Target.TLS && (t.insecure || t.cacert != "" || t.sni != "") {
		return usage("bench", "--insecure, --cacert and --sni are for TLS; they need an https:// URL")
	}
	b.TLS = bench.TLS{Insecure: t.insecure, ServerName: t.sni}
	if t.cacert != "" {
		if b.TLS.CACert, err = readAtMost(t.cacert, maxCACert); err != nil {
			return err
		}
	}
	return nil
}
