package heddle_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	lifecyclePage = "docs/lifecycle.md"
	servicesPage  = "docs/services.md"
)

// TestDrawings holds the state machines that the pages show against the golden
// files, which the rooms' own tests hold against their tables.
func TestDrawings(t *testing.T) {
	for file, name := range map[string]string{
		"worker/testdata/lifecycle.mermaid":    lifecyclePage,
		"worker/engine/testdata/lifecycle.mmd": lifecyclePage,
		"cmd/heddle/testdata/release.mmd":      lifecyclePage,
		"service/testdata/lifecycle.mermaid":   servicesPage,
	} {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		drawing, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "```mermaid\n"+strings.TrimSpace(string(drawing))+"\n```") {
			t.Errorf("%s does not show %s as it is", name, file)
		}
	}
}

// TestServices wants the tests and programs to exist that the page on services
// names, and a test in each row that says what happens.
func TestServices(t *testing.T) {
	b, err := os.ReadFile(servicesPage)
	if err != nil {
		t.Fatal(err)
	}
	inTable := false
	for line := range strings.Lines(string(b)) {
		switch {
		case strings.HasSuffix(line, "| shown by |\n"):
			inTable = true
		case !strings.HasPrefix(line, "| "):
			inTable = inTable && strings.HasPrefix(line, "|--")
		case inTable:
			shown(t, servicesPage, line)
		}
	}
	checkNames(t, servicesPage, string(b))
	checkExcerpts(t, servicesPage, string(b))
}

var (
	promiseRow   = regexp.MustCompile(`(?m)^\| N(\d+)( \*)? \|(.*)\|$`)
	namedTest    = regexp.MustCompile("`([a-z0-9/]+)\\.(Test[A-Za-z0-9]+)`")
	namedExample = regexp.MustCompile("`([a-z0-9/]+)\\.(Example[A-Za-z0-9_]*)`")
	namedScript  = regexp.MustCompile("`([a-z0-9]+\\.txtar)`")
	namedBench   = regexp.MustCompile("`go run \\./bench/lifecycle ([a-z]+)`")
)

// TestPromises wants a row for each promise of Nodesockd that is not about
// messages, and of each row, there and in the list of its failures, a test that
// exists or the word that there is none yet.
func TestPromises(t *testing.T) {
	b, err := os.ReadFile(lifecyclePage)
	if err != nil {
		t.Fatal(err)
	}
	_, page, ok := strings.Cut(string(b), "\n## What Nodesockd promised\n")
	promises, failures, ok2 := strings.Cut(page, "\n### What its daemon died of\n")
	if !ok || !ok2 {
		t.Fatalf("%s lacks a heading that this test looks for", lifecyclePage)
	}
	seen := make(map[int]bool)
	for _, m := range promiseRow.FindAllStringSubmatch(promises, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil || n < 1 || n > 66 || n >= 14 && n <= 35 || seen[n] {
			t.Errorf("row N%s: there is no such promise, or it is there twice", m[1])
		}
		seen[n] = true
		shown(t, "N"+m[1], m[3])
	}
	for n := 1; n <= 66; n++ {
		if (n < 14 || n > 35) && !seen[n] {
			t.Errorf("row N%d is missing", n)
		}
	}
	rows := 0
	for line := range strings.Lines(failures) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| what happened") {
			rows++
			shown(t, fmt.Sprintf("failure %d", rows), line)
		}
	}
	if rows != 22 {
		t.Errorf("%d failures; the list has 22", rows)
	}
	checkNames(t, lifecyclePage, string(b))
	main, err := os.ReadFile("bench/lifecycle/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range namedBench.FindAllStringSubmatch(string(b), -1) {
		if !strings.Contains(string(main), strconv.Quote(m[1])) {
			t.Errorf("%s: bench/lifecycle has no scenario %s", lifecyclePage, m[1])
		}
	}
}

// shown wants a test or a word in a row.
func shown(t *testing.T, row, text string) {
	t.Helper()
	lower := strings.ToLower(text)
	if !namedTest.MatchString(text) && !namedScript.MatchString(text) && !strings.Contains(lower, "not yet") && !strings.Contains(lower, "does not apply") {
		t.Errorf("%s: no test is named, and not said why", row)
	}
}

// hasTest looks for a test in the package at dir, in the tests for any system.
func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.FromSlash(dir), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "\nfunc "+name+"(t *testing.T)") {
			return true
		}
	}
	return false
}

var messagingRow = regexp.MustCompile(`(?m)^\| ([CNS])(\d+)( \*)? \|(.*)\|$`)

// TestMessagingPromises wants a row for each promise of clusterphone and
// socket-ipc, and of Nodesockd about messages, and that the tests which it names exist.
func TestMessagingPromises(t *testing.T) {
	const page = "docs/messaging.md"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, m := range messagingRow.FindAllStringSubmatch(string(b), -1) {
		row := m[1] + m[2]
		if seen[row] {
			t.Errorf("row %s is there twice", row)
		}
		seen[row] = true
		shown(t, row, m[4])
	}
	for kind, span := range map[string][2]int{"C": {1, 21}, "S": {1, 23}, "N": {14, 35}} {
		for n := span[0]; n <= span[1]; n++ {
			row := kind + strconv.Itoa(n)
			if !seen[row] {
				t.Errorf("row %s is missing", row)
			}
			delete(seen, row)
		}
	}
	for row := range seen {
		t.Errorf("row %s: there is no such promise", row)
	}
	checkNames(t, page, string(b))
}

var cocaineRow = regexp.MustCompile(`(?m)^\| K(\d+) \|(.*)\|$`)

// TestCocainePromises wants a row for each promise of the Cocaine framework for Node.js,
// and that the tests which the page on Cocaine's runtimes names exist.
func TestCocainePromises(t *testing.T) {
	const page = "docs/cocaine.md"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	rows := cocaineRow.FindAllStringSubmatch(string(b), -1)
	for i, m := range rows {
		if m[1] != strconv.Itoa(i+1) {
			t.Errorf("row K%s stands where K%d should", m[1], i+1)
		}
		shown(t, "K"+m[1], m[2])
	}
	if len(rows) != 15 {
		t.Errorf("%d promises, want 15", len(rows))
	}
	_, facts, ok := strings.Cut(string(b), "\n## What works, and what does not\n")
	facts, _, ok2 := strings.Cut(facts, "\n## ")
	if !ok || !ok2 {
		t.Fatalf("%s lacks a heading that this test looks for", page)
	}
	for line := range strings.Lines(facts) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| |") {
			shown(t, line, line)
		}
	}
	checkNames(t, page, string(b))
}

// oldWords is, for each section of the page on migrating, what has to be in it:
// the methods, events and options of that system.
var oldWords = map[string]string{
	"clusterphone 1.0.1": `ns( handlers.cmd ack( sendTo( fd forceFd sendToMaster( acknowledged() ackd() within( ackTimeout clusterphone:online`,
	"socket-ipc 0.4": `Server( socketFile server.listen() server.send( server.broadcast( server.close() listening connection connectionClose messageError
		error message message.topic close closed Client( client.connect() client.send( client.close() retryDelay reconnectDelay connect reconnect
		disconnect connectError transcoder createEncoder createDecoder socketEncoding EncodeError DecodeError BadClientError NoServerError SendAfterCloseError`,
	"Nodesockd 2.0": `id shortId suspended resumed suspendMiddleware socketPath reportOnline() reportBroken( sendAppMessage( sendAppRequest( setRequestHandler(
		message shutdown pid data errors self 1-3 send-msg send-req --workers --ipc --config NodesockdClient( run() terminate() IpcConnectionError getStatus() getConfig()
		startWorkers() stopWorkers() restartWorkers() resumeWorkers() setWorkerCount( setStandbyCount( reloadConfig() terminateDaemon() app-msg
		app-req resume online broken set-name detach send-app-msg send-app-req reply requestId done`,
	"node-ipc 9": `ipc.serve( ipc.serveNet( ipc.connectTo( ipc.connectToNet( ipc.disconnect( ipc.of.id server.start() server.stop() server.on( server.emit(
		server.broadcast( connect disconnect destroy socket.disconnected error data config.id config.appspace config.socketRoot config.networkHost
		config.networkPort config.rawBuffer config.encoding config.delimiter config.maxConnections config.retry config.maxRetries
		config.stopRetrying config.sync config.unlink config.readableAll config.writableAll config.silent config.logger config.interfaces config.tls`,
	"The Cocaine framework for Node.js 0.4": `Worker( options.endpoint options.uuid options.app options.heartbeatInterval options.disownTimeout cocaine.spawnedBy()
		worker.listen() worker.connect( worker.close() worker.terminate( worker.events connect error terminate disown worker.on(
		getListenHandle( ListenHandle( removeListenHandle( worker.ref() worker.unref() data end session.write( session.end() session.error(
		session.destroy() close cocaine.http addTrailers() writeContinue() Channel( channel.connect() on_connect on_socket_error on_invoke
		on_chunk on_choke on_error on_terminate on_heartbeat channel.send( channel.sendTerminate( channel.close()`,
	"Services with the Cocaine framework for Node.js": `Client( Client.methods client.Service( client.getServices( client.resolve( client.connect() client.close()
		client.setErrorHandler( retryConnect reconnect failConnect BaseService( service.connect() service.close() connect error closed connecting
		connected service.method( callback promises promises_shim fibers defaultMethod methods unpacking unpackWith( streaming data end err.code
		recv( send.write( send.close() send.error( client.Logger( setAppName( logger.connect() logger.close() logger.error( logger.warn( logger.info(
		logger.debug( verbosity`,
}

var (
	section = regexp.MustCompile(`(?m)^## (.*)\n`)
	quoted  = regexp.MustCompile("`([^`]+)`")
	excerpt = regexp.MustCompile("(?s)[Ff]rom `([a-z_/]+\\.go)`|```go\n(.*?)```")
)

// TestMigrating wants on the page each word of the older systems, with a test that
// exists, or the word why there is none; and its Go is of programs that run as tests.
func TestMigrating(t *testing.T) {
	const page = "docs/migrating.md"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	titles := section.FindAllStringSubmatchIndex(text, -1)
	if len(titles) != len(oldWords) {
		t.Errorf("%d sections, want %d", len(titles), len(oldWords))
	}
	for i, m := range titles {
		title, end := text[m[2]:m[3]], len(text)
		if i+1 < len(titles) {
			end = titles[i+1][0]
		}
		words, ok := oldWords[title]
		if !ok {
			t.Errorf("what is section %q?", title)
		}
		var there []string // what the first cells name
		for line := range strings.Lines(text[m[1]:end]) {
			cells := strings.Split(line, " | ")
			if !strings.HasPrefix(line, "| ") || cells[0] == "| there" {
				continue
			}
			if len(cells) != 3 {
				t.Errorf("%s: a row of %d cells: %s", title, len(cells), line)
			}
			shown(t, title+": "+cells[0], line)
			for _, q := range quoted.FindAllStringSubmatch(cells[0], -1) {
				there = append(there, q[1])
			}
		}
		for _, word := range strings.Fields(words) {
			// A name with a parenthesis may have arguments; others are names of their own, or options in braces.
			if !slices.ContainsFunc(there, func(s string) bool {
				return s == word || strings.HasSuffix(word, "(") && strings.Contains(s, word) ||
					strings.Contains(s, "{"+word+"}") || strings.HasPrefix(s, "nodesockd "+word+" ")
			}) {
				t.Errorf("%s: there is nothing about %s", title, word)
			}
		}
	}
	checkNames(t, page, text)
	checkExcerpts(t, page, text)
}

// checkExcerpts wants the Go on a page to be of the programs that it names, in their order.
func checkExcerpts(t *testing.T, page, text string) {
	t.Helper()
	program := ""
	for _, m := range excerpt.FindAllStringSubmatch(text, -1) {
		if m[1] != "" {
			b, err := os.ReadFile(m[1])
			if err != nil {
				t.Fatalf("%s: %v", page, err)
			}
			program = string(b)
			continue
		}
		rest := program
		for line := range strings.Lines(m[2]) {
			_, after, ok := strings.Cut(rest, strings.TrimSpace(line)+"\n")
			if !ok {
				t.Errorf("%s: this is not in the program, or not in this order: %s", page, line)
			}
			rest = after
		}
	}
}

// checkNames wants the tests and scripts to exist that a page names.
func checkNames(t *testing.T, page, text string) {
	t.Helper()
	for _, m := range namedTest.FindAllStringSubmatch(text, -1) {
		if !hasTest(t, m[1], m[2]) {
			t.Errorf("%s names %s.%s, which is not there", page, m[1], m[2])
		}
	}
	for _, m := range namedScript.FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join("cmd", "heddle", "testdata", m[1])); err != nil {
			t.Errorf("%s: %v", page, err)
		}
	}
	for _, m := range namedExample.FindAllStringSubmatch(text, -1) {
		if !hasExample(t, m[1], m[2]) {
			t.Errorf("%s names %s.%s, which is not there, or whose output is not checked", page, m[1], m[2])
		}
	}
}

// hasExample looks for an example, with its output, in the package at dir.
func hasExample(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.FromSlash(dir), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := strings.Cut(string(b), "\nfunc "+name+"() {\n")
		if body, _, _ = strings.Cut(body, "\n}\n"); strings.Contains(body, "\n\t// Output:") {
			return true
		}
	}
	return false
}
