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

	control controlFlags // of an app's sessions, with --app
	event   string
	pack    string // the path of an HTTP request
	locator string
	dialect string
}

func (t *benchTarget) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&t.http2, "http2", false, "HTTP/2 only: over TLS, or with http:// and unix: at once; --pipeline streams on one connection")
	fs.BoolVar(&t.http1, "http1.1", false, "HTTP/1.1 only, over TLS, too (default: what the server would have)")
	fs.BoolVarP(&t.insecure, "insecure", "k", false, "with TLS: ask any server, whoever it is")
	fs.StringVar(&t.cacert, "cacert", "", "with TLS: a file of those who may vouch for the server, PEM (default: the system's)")
	fs.StringVar(&t.sni, "sni", "", "with TLS: the name that the server is asked for, and has to be (default: the URL's host)")
	fs.StringVar(&t.event, "event", "", "sessions of an app, in place of a URL: the event that each is opened with")
	fs.StringVar(&t.pack, "pack", "", "of --event: send an HTTP request for this path, packed as events that stand for HTTP want it, with -X, -H and the body")
	t.control.add(cmd)
	fs.StringVar(&t.locator, "locator", "", "of --app: where it is known, host:port or unix:/path (default: the daemon's control socket)")
	fs.StringVar(&t.dialect, "dialect", "", "of --app: speak v0 or v1 (default: what the locator speaks, v1 first)")
	completeFlag(cmd, "dialect", cobra.FixedCompletions([]string{"v0", "v1"}, cobra.ShellCompDirectiveNoFileComp))
}

// maxCACert is how long a file of --cacert may be.
const maxCACert = 4 << 20 // bytes

// take has b ask the target of a URL, or an app.
func (t *benchTarget) take(b *bench.Options, args []string) (err error) {
	switch {
	case t.isApp() && len(args) > 0:
		return usage("bench", "bench takes a URL, or an app's sessions by --app and --event; got both")
	case t.isApp():
		return t.takeApp(b)
	case len(args) == 0:
		return usage("bench", "bench needs one URL, or --app and --event")
	case len(args) != 1:
		return usage("bench", "bench needs one URL, or --app and --event; got %s", quotedWords(args))
	}
	url := args[0]
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

// try is what to do when nothing was answered.
func (t *benchTarget) try(b *bench.Options, r *bench.Result) string {
	switch {
	case t.locator != "":
		return "try: heddle call " + quoted(t.control.app) + " info --locator " + t.locator
	case t.isApp():
		return t.control.hint("try: heddle status")
	case r.Kinds[bench.KindTLSUnknown.String()] > 0:
		return "try: --cacert FILE with who vouches for the server, or --insecure"
	case r.Kinds[bench.KindTLSName.String()] > 0:
		return "try: --sni NAME, one that the server's certificate has, or --insecure"
	}
	curl := "try: curl -v"
	switch {
	case t.insecure:
		curl += " -k"
	case t.cacert != "":
		curl += " --cacert " + quoted(t.cacert)
	}
	if b.Target.Network == "unix" {
		curl += " --unix-socket " + quoted(b.Target.Address)
	}
	scheme := "http://"
	if b.Target.TLS {
		scheme = "https://"
	}
	path := b.Requests[0].Path
	if path == "" {
		path = b.Target.Path
	}
	return curl + " " + quoted(scheme+b.Target.Host+path)
}
