// Package admin lets machines watch a daemon over HTTP: /metrics for
// Prometheus, /healthz and /readyz for whoever restarts or routes, and
// /debug/pprof for whoever wonders where the time goes. docs/metrics.md has a
// row for each metric.
//
// Nobody has to show who they are, and profiles tell more than strangers should
// know. So it listens on a loopback address or a unix socket, unless it is told
// otherwise.
//
// Whatever is shown is asked for at the time of the scrape, of a Source; the
// rooms that do the work count by plain additions and know nothing of
// Prometheus. One goroutine of its own measures once a second how late the
// loops are, and forgets releases that have no workers any more.
package admin
