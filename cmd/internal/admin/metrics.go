package admin

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// A metric is one that we make ourselves; docs/metrics.md has a row for each.
type metric struct {
	name, kind, help string
	labels           []string
	desc             *prometheus.Desc
}

// What a metric is.
const (
	counterKind   = "counter"
	gaugeKind     = "gauge"
	histogramKind = "histogram"
)

func newMetric(name, kind, labels, help string) *metric {
	m := &metric{name: "heddle_" + name, kind: kind, help: help, labels: strings.Fields(labels)}
	m.desc = prometheus.NewDesc(m.name, m.help, m.labels, nil)
	return m
}

// What the front has counted, by who answered.
var (
	requestsTotal = newMetric("requests_total", counterKind, "app release method code", "Requests that have ended, by the release they were given to last (none: nobody had it) and the status that was sent (499: the client had gone; 101: the connection was taken over; 000: it broke without a status).")
	requestTime   = newMetric("request_duration_seconds", histogramKind, "app release", "From a request's head until its answer was written, without connections that were taken over.")
	brokenTotal   = newMetric("answers_broken_total", counterKind, "app release", "Answers that broke off behind their head, and the client's connection with them.")
)

// What the front has counted of clients.
var (
	inFlight      = newMetric("requests_in_flight", gaugeKind, "", "Requests that are being answered, connections that were taken over among them.")
	frontClients  = newMetric("front_clients", gaugeKind, "", "Connections of clients on the loops.")
	frontTurned   = newMetric("front_turned_away_total", counterKind, "", "Connections that were reset for being too many.")
	frontHanded   = newMetric("front_handed_over_total", counterKind, "reason", "Connections that have left their loop for net/http, by reason.")
	frontRefused  = newMetric("front_refused_total", counterKind, "", "Requests refused by the front with 408, 413 or 431, those without a whole head among them; not those that net/http refuses.")
	frontGone     = newMetric("front_gone_total", counterKind, "", "Requests whose clients did not stay for the answer's end.")
	droppedLines  = newMetric("log_lines_dropped_total", counterKind, "sink", "Lines that were to be written there and were not, because it took no more.")
	loopLag       = newMetric("loop_lag_seconds", histogramKind, "loop", "How long a function that was posted to the loop waited, once a second.")
	loopStalled   = newMetric("loop_stalled_seconds", gaugeKind, "loop", "How long the function that was posted last has been waiting now; 0: it has run.")
	loopRead      = newMetric("loop_read_bytes_total", counterKind, "loop", "Bytes read, of clients and of workers.")
	loopWritten   = newMetric("loop_written_bytes_total", counterKind, "loop", "Bytes written, to clients and to workers.")
	loopPanics    = newMetric("loop_panics_total", counterKind, "loop", "Callbacks that panicked, each of which has ended a connection.")
	buildInfo     = newMetric("build_info", gaugeKind, "version revision goversion", "1; what was built from what.")
	daemonServing = newMetric("ready", gaugeKind, "", "1 while /readyz answers 200.")
)

// What an app's engine has counted.
var (
	workers        = newMetric("workers", gaugeKind, "app release state", "Workers by state, without standbys.")
	workersWanted  = newMetric("workers_wanted", gaugeKind, "app", "Workers that the app is to have, without standbys.")
	standbysReady  = newMetric("standbys_ready", gaugeKind, "app", "Standbys that may take a worker's place at once.")
	sessions       = newMetric("sessions", gaugeKind, "app release", "Sessions open on workers.")
	sessionsTotal  = newMetric("sessions_opened_total", counterKind, "app", "Sessions opened on workers.")
	sessionsLost   = newMetric("sessions_lost_total", counterKind, "app", "Sessions that ended with the worker that had them.")
	sessionsSpared = newMetric("sessions_untouched_total", counterKind, "app", "Sessions that ended with their worker before it had them; they are given to another.")
	retriedTotal   = newMetric("sessions_retried_total", counterKind, "app", "Sessions that a second worker took because the first refused.")
	queueLength    = newMetric("queue_length", gaugeKind, "app", "Requests that wait for a worker.")
	queueTime      = newMetric("queue_wait_seconds", histogramKind, "app", "How long requests waited that found no worker free, whatever came of it.")
	queueRefused   = newMetric("queue_refused_total", counterKind, "app reason", "Requests refused with 503: the queue was full, or they had waited too long.")
	workersStarted = newMetric("worker_starts_total", counterKind, "app", "Processes started.")
	workersDied    = newMetric("worker_deaths_total", counterKind, "app kind", "Processes ended: expected, because they were asked to, or not.")
	workersEarly   = newMetric("worker_early_deaths_total", counterKind, "app", "Workers that died, or asked to be replaced, before they had served for long; the next start waits longer each time.")
	promotedTotal  = newMetric("standbys_promoted_total", counterKind, "app", "Standbys that took a worker's place.")
	recycledTotal  = newMetric("workers_recycled_total", counterKind, "app", "Workers replaced for their requests, age or memory.")
	signalledTotal = newMetric("worker_signals_total", counterKind, "app", "SIGTERM, SIGQUIT and SIGKILL sent to workers that did not leave by themselves.")
	strangersTotal = newMetric("worker_connections_refused_total", counterKind, "app", "Connections to the workers' sockets that were refused.")
	messagesTotal  = newMetric("messages_total", counterKind, "app", "One-way messages by selector, counted for each worker that was chosen.")
	messagesUnsent = newMetric("messages_unsent_total", counterKind, "app", "Of those, the ones that were refused at once, or found no room.")
	messagesUndone = newMetric("messages_undone_total", counterKind, "app", "One-way messages that were queued for a worker and never left, for it died or was not ready in time.")
	askedTotal     = newMetric("message_requests_total", counterKind, "app", "Requests by selector that have ended, counted for each worker that was chosen.")
	askedFailed    = newMetric("message_requests_failed_total", counterKind, "app", "Of those, the ones that failed, were late or died with their worker.")
	unclaimedFiles = newMetric("message_descriptors_dropped_total", counterKind, "app", "Descriptors from workers that nobody took, and that were closed.")
	deploysTotal   = newMetric("deploys_total", counterKind, "app outcome", "Deploys and rollbacks by what came of them.")
)

// What a cloud has counted (run --locator).
var (
	cloudCalls       = newMetric("cloud_calls_total", counterKind, "service dialect method", "Calls that clients of the cloud have begun.")
	cloudFailed      = newMetric("cloud_calls_failed_total", counterKind, "service dialect method", "Of those, the ones that were answered with an error, or with the end of the connection.")
	cloudConnections = newMetric("cloud_connections", gaugeKind, "service", "Connections of clients to the cloud's services.")
	cloudResolves    = newMetric("cloud_resolves_total", counterKind, "answer", "What the locator was asked for: a service of its own, one that was published, one of a joined locator, or one that nobody has.")
	cloudPublished   = newMetric("cloud_publications", gaugeKind, "", "Services that others have published.")
	cloudStreams     = newMetric("cloud_streams", gaugeKind, "", "Streams of the locator's news: connect, synchronize and routing.")
	cloudGroups      = newMetric("cloud_routing_groups", gaugeKind, "", "Routing groups that are known.")
	cloudJoined      = newMetric("cloud_joined", gaugeKind, "state", "Locators of --join, by whether their services are known.")
	cloudMistakes    = newMetric("cloud_mistakes_total", counterKind, "", "What clients did against the rules of the protocol; most lose their connection by it.")
	cloudPending     = newMetric("cloud_pending_bytes", gaugeKind, "", "Bytes of calls of apps that wait for workers and for slow clients.")
)

// What heddle proxy has counted.
var (
	proxyLocator     = newMetric("proxy_locator_up", gaugeKind, "", "1 while a locator answers.")
	proxyResolves    = newMetric("proxy_resolves_total", counterKind, "answer", "Apps that were asked for of the locator: found, unknown, or failed because no locator answered. What is remembered of it counts, too.")
	proxyApps        = newMetric("proxy_apps", gaugeKind, "", "Apps that are connected to or looked for, on each loop.")
	proxyConnections = newMetric("proxy_connections", gaugeKind, "", "Connections to apps, those that are being made among them.")
	proxyLost        = newMetric("proxy_connections_lost_total", counterKind, "", "Connections to apps that ended by themselves.")
	proxyWaiting     = newMetric("proxy_requests_waiting", gaugeKind, "", "Requests that wait for a connection, or for room in one.")
	proxyRefused     = newMetric("proxy_app_errors_total", counterKind, "reason", "Errors of apps and their runtimes before the head: stopped and full are asked a second time, elsewhere.")
	proxyGroups      = newMetric("proxy_routing_groups", gaugeKind, "", "Routing groups that the locator has told of.")
	proxyRPC         = newMetric("proxy_json_rpc_total", counterKind, "outcome", "JSON-RPC calls that have ended.")
)

// metrics are all of them.
var metrics = []*metric{
	requestsTotal, requestTime, brokenTotal,
	inFlight, frontClients, frontTurned, frontHanded, frontRefused, frontGone,
	droppedLines, loopLag, loopStalled, loopRead, loopWritten, loopPanics, buildInfo, daemonServing,
	workers, workersWanted, standbysReady, sessions, sessionsTotal, sessionsLost, sessionsSpared, retriedTotal,
	queueLength, queueTime, queueRefused, workersStarted, workersDied, workersEarly,
	promotedTotal, recycledTotal, signalledTotal, strangersTotal, deploysTotal,
	messagesTotal, messagesUnsent, messagesUndone, askedTotal, askedFailed, unclaimedFiles,
	cloudCalls, cloudFailed, cloudConnections, cloudResolves, cloudPublished, cloudStreams, cloudGroups, cloudJoined, cloudMistakes, cloudPending,
	proxyLocator, proxyResolves, proxyApps, proxyConnections, proxyLost, proxyWaiting, proxyRefused, proxyGroups, proxyRPC,
}

// workerStates are those of engine.WorkerStatus but dead, which nobody sees for
// long.
var workerStates = []string{"starting", "online", "suspended", "broken", "draining"}
