package admin

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	heddle "github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/cmd/internal/gateway"
	"github.com/heddle-go/heddle/httpcompat/front"
	"github.com/heddle-go/heddle/internal/histogram"
	"github.com/heddle-go/heddle/service/host"
	"github.com/heddle-go/heddle/worker/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should take moments.
const patience = 20 * time.Second

func TestParseAddress(t *testing.T) {
	for _, tt := range []struct {
		text     string
		anywhere bool
		want     string // of the error; "" for none
	}{
		{"127.0.0.1:9180", false, ""},
		{"127.8.7.6:0", false, ""},
		{"[::1]:9180", false, ""},
		{"[::ffff:127.0.0.1]:9180", false, ""},
		{"localhost:9180", false, ""},
		{"LocalHost:http", false, ""},
		{"unix:/run/admin.sock", false, ""},
		{"0.0.0.0:9180", true, ""},
		{":9180", true, ""},
		{"example.org:9180", true, ""},
		{":9180", false, ErrNotLoopback.Error()},
		{"0.0.0.0:9180", false, ErrNotLoopback.Error()},
		{"[::]:9180", false, ErrNotLoopback.Error()},
		{"192.0.2.1:9180", false, ErrNotLoopback.Error()},
		{"example.org:9180", false, ErrNotLoopback.Error()},
		{"localhost.example.org:9180", false, ErrNotLoopback.Error()},
		{"127.0.0.1.example.org:9180", false, ErrNotLoopback.Error()},
		{"9180", false, "want host:port or unix:/path"},
		{"127.0.0.1", true, "want host:port or unix:/path"},
		{"127.0.0.1:99999", false, `"99999" is no port`},
		{"unix:", false, "the path is missing; want unix:/path"},
		{"unix:/" + strings.Repeat("x", 107), false, "the path has 108 bytes; a unix socket's path has at most 107"},
	} {
		_, err := ParseAddress(tt.text, tt.anywhere)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s, anywhere %v: got %q, want %q", tt.text, tt.anywhere, got, tt.want)
		}
	}
}

// A fakeFront says what its test says.
type fakeFront struct {
	mu      sync.Mutex
	stats   front.Stats
	tallies []front.Tally
}

func (f *fakeFront) Stats() front.Stats { return f.stats }

func (f *fakeFront) Tallies() []front.Tally {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.tallies)
}

func (f *fakeFront) ForgetTallies(drop func(any) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tallies = slices.DeleteFunc(f.tallies, func(t front.Tally) bool { return drop(t.Tag) })
}

type fakeEngine struct {
	stats  engine.Stats
	status engine.Status
}

func (f *fakeEngine) Stats() engine.Stats   { return f.stats }
func (f *fakeEngine) Status() engine.Status { return f.status }

type fakeCloud struct{}

func (fakeCloud) Stats() host.Stats {
	return host.Stats{
		Services: []host.ServiceStats{
			{Name: "app", Connections: 80, Methods: []host.MethodStats{{Dialect: heddle.V0, Name: "enqueue", Calls: 81, Failed: 82}, {Dialect: heddle.V1, Name: "enqueue", Calls: 83, Failed: 84}}},
			{Name: "locator", Connections: 85},
		},
		Resolves:     host.ResolveStats{Own: 86, Published: 87, Peer: 88, Unknown: 89},
		Publications: 90, Streams: 91, Groups: 92, Peers: 95, PeersKnown: 93, Mistakes: 96, Pending: 97,
	}
}

type fakeProxy struct{}

func (fakeProxy) Alive() bool { return true }
func (fakeProxy) Stats() gateway.Stats {
	return gateway.Stats{Apps: 100, Connections: 101, Waiting: 102}
}
func (fakeProxy) Counts() gateway.Counts {
	return gateway.Counts{
		Found: 103, Unknown: 104, Unresolved: 105, Lost: 106, Stopped: 107, Full: 108, Failed: 109, Results: 110, Errors: 111, Invalid: 112, Groups: 113,
	}
}

// source is a daemon of one app that serves, of which every number is another.
func source() (*Source, *fakeFront, *fakeEngine) {
	var took histogram.Histogram
	took.Observe(time.Millisecond)
	took.Observe(2 * time.Minute)
	var s histogram.Snapshot
	took.AddTo(&s)
	f := &fakeFront{
		stats: front.Stats{Requests: 20, Active: 21, Gone: 22, Refused: 23, Clients: 24, Turned: 25, HandedOver: map[string]int64{"upgrade": 26}},
		tallies: []front.Tally{
			{Tag: &engine.Origin{App: "shop", Release: "r1"}, Answers: []front.Answers{{Method: "GET", Code: 200, N: 30}, {Method: "other", Code: 0, N: 31}}, Broken: 32, Durations: s},
			{Tag: &engine.Origin{App: "shop", Release: "r1"}, Answers: []front.Answers{{Method: "GET", Code: 200, N: 100}}, Durations: s}, // the same once more
			{Tag: &engine.Origin{App: "shop"}, Answers: []front.Answers{{Method: "GET", Code: 503, N: 33}}},
			{Answers: []front.Answers{{Method: "POST", Code: 413, N: 34}}},
		},
	}
	e := &fakeEngine{
		stats: engine.Stats{
			Workers: 40, Online: 41, Standbys: 42, Waiting: 43, Opened: 44, Full: 45, Aged: 46, Retried: 47, Lost: 48, Untouched: 49,
			Spawned: 50, Deaths: 53, Expected: 51, Early: 54, Promoted: 55, Recycled: 56, Signalled: 57, Strangers: 58, Waits: s,
		},
		status: engine.Status{Release: "r2", Workers: []engine.WorkerStatus{
			{Release: "r1", State: "draining", Sessions: 60},
			{Release: "r2", State: "online", Sessions: 61},
			{Release: "r2", State: "online", Sessions: 62},
			{Release: "r2", State: "suspended", Standby: true},
		}},
	}
	deploys := new(Outcomes)
	deploys.Add(RolledBack)
	return &Source{
		State: func() string { return Serving },
		Front: func() Front { return f },
		Apps:  func() []App { return []App{{Name: "shop", Engine: e, Deploys: deploys}} },
		Cloud: func() Cloud { return fakeCloud{} },
		Proxy: fakeProxy{},

		Unrouted:     "shop",
		DroppedLines: func() map[string]uint64 { return map[string]uint64{"stderr": 70} },
		Version:      "v1.2.3", Revision: "abc",
	}, f, e
}

// gathered is what a page has, by series, without buckets.
func gathered(t *testing.T, src *Source, ls *lags) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(&collector{src, ls})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, mf := range families {
		for _, m := range mf.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			series := strings.TrimSpace(mf.GetName() + " " + strings.Join(labels, " "))
			switch {
			case m.Counter != nil:
				all[series] = m.Counter.GetValue()
			case m.Gauge != nil:
				all[series] = m.Gauge.GetValue()
			case m.Histogram != nil:
				all[series] = float64(m.Histogram.GetSampleCount())
				all[series+" sum"] = m.Histogram.GetSampleSum()
			}
		}
	}
	return all
}

func TestCollector(t *testing.T) {
	src, _, _ := source()
	got := gathered(t, src, newLags())
	for series, want := range map[string]float64{
		"heddle_requests_total app=shop code=200 method=GET release=r1":   130,
		"heddle_requests_total app=shop code=000 method=other release=r1": 31,
		"heddle_requests_total app=shop code=503 method=GET release=":     33,
		"heddle_requests_total app=shop code=413 method=POST release=":    34,
		"heddle_request_duration_seconds app=shop release=r1":             4,
		"heddle_request_duration_seconds app=shop release=r1 sum":         240.002,
		"heddle_answers_broken_total app=shop release=r1":                 32,
		"heddle_requests_in_flight":                                       21,
		"heddle_front_gone_total":                                         22,
		"heddle_front_refused_total":                                      23,
		"heddle_front_clients":                                            24,
		"heddle_front_turned_away_total":                                  25,
		"heddle_front_handed_over_total reason=upgrade":                   26,
		"heddle_workers_wanted app=shop":                                  40,
		"heddle_standbys_ready app=shop":                                  42,
		"heddle_queue_length app=shop":                                    43,
		"heddle_sessions_opened_total app=shop":                           44,
		"heddle_queue_refused_total app=shop reason=full":                 45,
		"heddle_queue_refused_total app=shop reason=aged":                 46,
		"heddle_sessions_retried_total app=shop":                          47,
		"heddle_sessions_lost_total app=shop":                             48,
		"heddle_sessions_untouched_total app=shop":                        49,
		"heddle_worker_starts_total app=shop":                             50,
		"heddle_worker_deaths_total app=shop kind=expected":               51,
		"heddle_worker_deaths_total app=shop kind=unexpected":             2,
		"heddle_worker_early_deaths_total app=shop":                       54,
		"heddle_standbys_promoted_total app=shop":                         55,
		"heddle_workers_recycled_total app=shop":                          56,
		"heddle_worker_signals_total app=shop":                            57,
		"heddle_worker_connections_refused_total app=shop":                58,
		"heddle_queue_wait_seconds app=shop":                              2,
		"heddle_workers app=shop release=r1 state=draining":               1,
		"heddle_workers app=shop release=r1 state=online":                 0,
		"heddle_workers app=shop release=r2 state=online":                 2,
		"heddle_workers app=shop release=r2 state=suspended":              0,
		"heddle_sessions app=shop release=r1":                             60,
		"heddle_sessions app=shop release=r2":                             123,
		"heddle_deploys_total app=shop outcome=rolled_back":               1,
		"heddle_deploys_total app=shop outcome=served":                    0,
		"heddle_log_lines_dropped_total sink=stderr":                      70,

		"heddle_cloud_connections service=app":                                  80,
		"heddle_cloud_calls_total dialect=v0 method=enqueue service=app":        81,
		"heddle_cloud_calls_failed_total dialect=v0 method=enqueue service=app": 82,
		"heddle_cloud_calls_total dialect=v1 method=enqueue service=app":        83,
		"heddle_cloud_calls_failed_total dialect=v1 method=enqueue service=app": 84,
		"heddle_cloud_connections service=locator":                              85,
		"heddle_cloud_resolves_total answer=own":                                86,
		"heddle_cloud_resolves_total answer=published":                          87,
		"heddle_cloud_resolves_total answer=joined":                             88,
		"heddle_cloud_resolves_total answer=unknown":                            89,
		"heddle_cloud_publications":                                             90,
		"heddle_cloud_streams":                                                  91,
		"heddle_cloud_routing_groups":                                           92,
		"heddle_cloud_joined state=known":                                       93,
		"heddle_cloud_joined state=unknown":                                     2,
		"heddle_cloud_mistakes_total":                                           96,
		"heddle_cloud_pending_bytes":                                            97,

		"heddle_proxy_locator_up":                      1,
		"heddle_proxy_apps":                            100,
		"heddle_proxy_connections":                     101,
		"heddle_proxy_requests_waiting":                102,
		"heddle_proxy_resolves_total answer=found":     103,
		"heddle_proxy_resolves_total answer=unknown":   104,
		"heddle_proxy_resolves_total answer=failed":    105,
		"heddle_proxy_connections_lost_total":          106,
		"heddle_proxy_app_errors_total reason=stopped": 107,
		"heddle_proxy_app_errors_total reason=full":    108,
		"heddle_proxy_app_errors_total reason=failed":  109,
		"heddle_proxy_json_rpc_total outcome=result":   110,
		"heddle_proxy_json_rpc_total outcome=error":    111,
		"heddle_proxy_json_rpc_total outcome=invalid":  112,
		"heddle_proxy_routing_groups":                  113,

		"heddle_ready": 1,
	} {
		if v, ok := got[series]; !ok || v != want {
			t.Errorf("%s: got %v, %v, want %v", series, v, ok, want)
		}
	}
}

// TestStarting: a daemon without front and engine has a page all the same.
func TestStarting(t *testing.T) {
	src := &Source{
		State: func() string { return "starting" }, Front: func() Front { return nil }, Apps: func() []App { return []App{{Name: "shop"}} },
		Cloud: func() Cloud { return nil },
	}
	if got := gathered(t, src, newLags()); got["heddle_ready"] != 0 || len(got) != 2 {
		t.Errorf("got %v", got)
	}
}

// TestPage holds docs/metrics.md against the table of metrics.
func TestPage(t *testing.T) {
	file := filepath.FromSlash("../../../docs/metrics.md")
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `(heddle_[a-z_]+)` \\| ([a-z]+) \\| ([^|]*) \\| (.+) \\|$").FindAllStringSubmatch(string(page), -1) {
		rows[m[1]] = m[2] + "; " + strings.TrimSpace(m[3]) + "; " + m[4]
	}
	for _, m := range metrics {
		row := rows[m.name]
		labels := "`" + strings.Join(m.labels, "`, `") + "`"
		if len(m.labels) == 0 {
			labels = ""
		}
		if want := m.kind + "; " + labels + "; " + m.help; row != want {
			t.Errorf("%s has no row for it, or another one: got %q, want\n| `%s` | %s | %s | %s |", file, row, m.name, m.kind, labels, m.help)
		}
		delete(rows, m.name)
	}
	for name := range rows {
		t.Errorf("%s has a row for %s, which is none", file, name)
	}
	names := make(map[string]bool)
	for _, m := range metrics {
		names[m.name] = true
	}
	for _, name := range regexp.MustCompile(`heddle_[a-z_]+`).FindAllString(string(page), -1) {
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, part)
		}
		if !names[name] {
			t.Errorf("%s speaks of %s, which is no metric", file, name)
		}
	}
}

// TestAlerts has promtool look at the page's rules.
func TestAlerts(t *testing.T) {
	promtool := findPromtool(t)
	page, err := os.ReadFile(filepath.FromSlash("../../../docs/metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	if m == nil {
		t.Fatal("the page has no rules")
	}
	rules := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(rules, m[1], 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "check", "rules", rules).CombinedOutput(); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, out)
	}
}

// findPromtool skips where Prometheus' own tool is missing.
func findPromtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed: Debian has it in the package prometheus")
	}
	return path
}

// checkPage has promtool look at a page.
func checkPage(t *testing.T, page string) {
	t.Helper()
	cmd := exec.Command(findPromtool(t), "check", "metrics")
	cmd.Stdin = strings.NewReader(page)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// TestPrune: releases without workers stay for a while, the latest few.
func TestPrune(t *testing.T) {
	f := new(fakeFront)
	add := func(app, release string) {
		f.tallies = append(f.tallies, front.Tally{Tag: &engine.Origin{App: app, Release: release}})
	}
	f.tallies = append(f.tallies, front.Tally{}, front.Tally{Tag: "somebody else's"})
	for _, app := range []string{"shop", "blog"} {
		add(app, "")
		for i := range 5 {
			add(app, fmt.Sprint("r", i+1))
		}
	}
	shop := &fakeEngine{status: engine.Status{Release: "r5", Workers: []engine.WorkerStatus{{Release: "r1", State: "draining"}, {Release: "r5"}}}}
	blog := &fakeEngine{status: engine.Status{Release: "r5", Workers: []engine.WorkerStatus{{Release: "r4", State: "draining"}, {Release: "r5"}}}}
	apps := []App{{Name: "shop", Engine: shop}, {Name: "blog", Engine: blog}}
	rs := newReleases(10*time.Minute, 3)
	left := func() string {
		by := make(map[string][]string)
		for _, ta := range f.tallies {
			if n, ok := nameOf(ta.Tag); ok {
				by[n.app] = append(by[n.app], strings.TrimSpace(n.release+" "))
			}
		}
		return strings.Join([]string{fmt.Sprint("blog", by["blog"]), fmt.Sprint("shop", by["shop"])}, " ")
	}
	now := time.Now()
	steps := []struct {
		after  time.Duration
		change func()
		want   string
	}{
		{0, func() {}, "blog[ r1 r2 r3 r4 r5] shop[ r1 r2 r3 r4 r5]"},
		{9 * time.Minute, func() { shop.status.Workers = shop.status.Workers[1:] }, "blog[ r1 r2 r3 r4 r5] shop[ r1 r2 r3 r5]"}, // the fourth that is gone; which of three goes is as good as another
		{2 * time.Minute, func() { blog.status.Release = "r4" }, "blog[ r4 r5] shop[ r1 r5]"},
		{9 * time.Minute, func() {}, "blog[ r4 r5] shop[ r5]"},
		{0, func() { apps = apps[:1] }, "blog[ r4 r5] shop[ r5]"},
		{10 * time.Minute, func() {}, "blog[] shop[ r5]"},
	}
	for i, step := range steps {
		now = now.Add(step.after)
		step.change()
		rs.prune(f, apps, now)
		if got := left(); got != step.want {
			t.Errorf("step %d: got %s, want %s", i, got, step.want)
		}
	}
	if len(f.tallies) < 2 || f.tallies[0].Tag != nil || f.tallies[1].Tag != "somebody else's" {
		t.Errorf("what is no release's went, too: %+v", f.tallies)
	}
	if n := len(rs.gone); n != 0 {
		t.Errorf("%d are remembered: %v", n, slices.Collect(maps.Keys(rs.gone)))
	}
}

func TestUnready(t *testing.T) {
	src, _, e := source()
	for _, tt := range []struct {
		change func()
		want   string
	}{
		{func() {}, ""},
		{func() { e.stats.Online = 0 }, "shop has no worker online; heddle status shows what they do"},
		{func() { e.status.Suspended = true }, "shop is suspended: requests wait; heddle resume lets them in"},
		{func() { src.Apps = func() []App { return []App{{Name: "shop", Engine: e}, {Name: "blog"}} } }, "shop is suspended: its requests wait; heddle resume --app shop lets them in, blog is starting"},
		{func() { src.State = func() string { return "draining" } }, "the daemon is draining"},
	} {
		tt.change()
		if got := strings.Join(src.unready(), ", "); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// readAll is a body's text.
func readAll(t *testing.T, r io.ReadCloser) string {
	t.Helper()
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	return string(b)
}
