# make test needs nothing but Go. What else a target needs stands beside it.

GO        ?= go
TESTFLAGS ?=
PACKAGES  ?= ./...
FUZZTIME  ?= 20000x
MANDIR    ?= man

.DEFAULT_GOAL := help
.PHONY: help gen test race loopcheck fuzz fuzz-long bench bench-hello bench-lifecycle bench-big bench-gone bench-sse bench-stall bench-h2spec bench-calls bench-cocaine bench-gnet-engine bench-generators bench-peers bench-growth bench-idle bench-messages real-peers stdlib-suite compare lint cross man examples bench-modules ci

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS='	' read -r t d; do printf '  %-17s %s\n' "$$t" "$$d"; done

gen: ## write the generated files anew
	$(GO) generate ./...

test: ## all tests
	$(GO) test $(TESTFLAGS) $(PACKAGES)

race: ## all tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race $(TESTFLAGS) $(PACKAGES)

loopcheck: ## all tests with the check that loop-only code runs on its loop
	$(GO) test -tags loopcheck $(TESTFLAGS) $(PACKAGES)

fuzz: ## every fuzz target for FUZZTIME, a count (20000x) or a duration
	@FUZZTIME='$(FUZZTIME)' TESTFLAGS='$(TESTFLAGS)' .ci/fuzz

fuzz-long: ## every fuzz target for five minutes
	@FUZZTIME=5m TESTFLAGS='$(TESTFLAGS)' .ci/fuzz

bench: ## the benchmarks of the packages
	$(GO) test -run '^$$' -bench . -benchmem $(TESTFLAGS) ./...

bench-hello: ## CPU per request beside net/http alone (needs wrk)
	$(GO) run ./bench/hello

bench-lifecycle: ## deploys, kills and the rest of a daemon's life under traffic: what was lost (some minutes)
	$(GO) run ./bench/lifecycle deploys
	$(GO) run ./bench/lifecycle mix
	$(GO) run ./bench/lifecycle kills
	$(GO) run ./bench/lifecycle bad
	$(GO) run ./bench/lifecycle promotion
	$(GO) run ./bench/lifecycle daemon

bench-big: ## 200 MB up and down, and what memory that takes (-size 2GiB: more)
	$(GO) run ./bench/big

bench-gone: ## how soon a handler knows that its client has gone
	$(GO) run ./bench/gone

bench-sse: ## how long a server-sent event is on its way
	$(GO) run ./bench/sse

bench-stall: ## what a stalled download costs its neighbours
	$(GO) run ./bench/stall

bench-h2spec: ## h2spec against our HTTP/2 and Go's own
	$(GO) run ./bench/h2spec

bench-calls: ## session calls beside net/rpc, grpc-go and yamux
	cd bench/calls && $(GO) run .

bench-cocaine: ## a session of the plain dialects, engine and worker together (ALSO: another worker)
	$(GO) run ./bench/cocaine $(if $(ALSO),-also '$(ALSO)')

bench-gnet-engine: ## the traps of gnet's engine and its CPU, beside our loop
	cd bench/gnet-engine && $(GO) run .

bench-generators: ## heddle bench beside wrk, h2load and hey (GENERATORS='-truth' or '-pace': percentiles and send times)
	$(GO) run ./bench/generators $(GENERATORS)

bench-peers: ## beside net/http, nginx, HAProxy and ReverseProxy (needs wrk; root on Debian: installed)
	$(GO) run ./bench/peers

bench-growth: ## how cost grows with connections, bodies and workers (needs wrk)
	$(GO) run ./bench/growth

bench-idle: ## what 10,000 idle connections cost the daemon
	$(GO) run ./bench/idle

bench-messages: ## messages between processes, beside socket-ipc on node and plain JSON (needs node, npm)
	$(GO) run ./bench/messages

real-peers: ## real Cocaine programs against ours (PEERS: the directory they are in, docs/peers.md)
	$(GO) run ./bench/realpeers -peers '$(PEERS)' $(PEERSFLAGS)

stdlib-suite: ## Go's own net/http tests with Heddle between handlers and clients
	$(GO) run ./bench/stdlib-suite -want 560

compare: ## the examples, alone and behind heddle (needs curl)
	examples/compare

lint: ## the linters, each named with its reason in .ci/lint
	.ci/lint

cross: ## builds for the systems and processors that we do not test on
	GOOS=linux GOARCH=arm64 $(GO) build ./...
	GOOS=darwin GOARCH=arm64 $(GO) build ./...
	GOOS=windows GOARCH=amd64 $(GO) build ./...

man: ## the man pages, into MANDIR
	$(GO) run ./cmd/heddle man $(MANDIR)

examples: ## the examples that have a module of their own
	cd examples/apps && $(GO) test $(TESTFLAGS) ./...

bench-modules: ## the tests of the benchmarks that have a module of their own
	cd bench/calls && $(GO) test $(TESTFLAGS) ./...
	cd bench/gnet-engine && $(GO) test $(TESTFLAGS) ./...

ci: ## everything that CI runs
	.ci/run
