package report

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browserPatience is how long a browser may take for all that a test asks of it.
const browserPatience = 90 * time.Second

// A browser is a real one, without a window.
type browser struct {
	ctx context.Context

	mu       sync.Mutex
	asked    []string // URLs
	complain []string // what its console says, and what it throws
}

// openBrowser starts Chromium. Only where no CI runs may it be missing.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") != "true" {
			t.Skip("no Chromium here (Debian: chromium)")
		}
		t.Fatal("no Chromium here (Debian: chromium)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // it is shown nothing but our own page, and root has no sandbox
		chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.WSURLReadTimeout(browserPatience),
	)
	ctx, cancel := context.WithTimeout(context.Background(), browserPatience) // t.Context would end before it is closed in order
	t.Cleanup(cancel)
	ctx, end := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(end)
	b := &browser{}
	b.ctx, _ = chromedp.NewContext(ctx) // Cancel ends it, below
	t.Cleanup(func() {                  // all its processes leave, not the first one alone
		if err := chromedp.Cancel(b.ctx); err != nil {
			t.Error(err)
		}
	})
	chromedp.ListenTarget(b.ctx, func(e any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := e.(type) {
		case *network.EventRequestWillBeSent:
			b.asked = append(b.asked, e.Request.URL)
		case *network.EventWebSocketCreated:
			b.asked = append(b.asked, e.URL)
		case *runtime.EventConsoleAPICalled:
			b.complain = append(b.complain, fmt.Sprint(e.Type))
		case *runtime.EventExceptionThrown:
			b.complain = append(b.complain, e.ExceptionDetails.Error())
		case *cdplog.EventEntryAdded:
			b.complain = append(b.complain, e.Entry.Text)
		}
	})
	b.run(t, network.Enable(), runtime.Enable(), cdplog.Enable())
	return b
}

func (b *browser) run(t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// A drawn is a line as the browser has it.
type drawn struct {
	Chart, Class  string
	Length        float64 // of its way
	Width, Height float64 // on the screen
	Stroke        string
}

const allDrawn = `Array.from(document.querySelectorAll(".chart path"), p => {
	const r = p.getBoundingClientRect();
	return {chart: p.closest("section").id, class: p.getAttribute("class"), length: p.getTotalLength(),
		width: r.width, height: r.height, stroke: getComputedStyle(p).stroke};
})`

const widest = `Math.max(document.documentElement.scrollWidth, ...Array.from(document.querySelectorAll("body *"), e => e.getBoundingClientRect().right))`

// TestPageInBrowser opens the page as a file in real Chromium: its charts are drawn,
// in light and dark, on a wide screen and on a phone's; it asks for nothing; and the
// console stays empty. Screenshots are kept with go test -artifacts.
func TestPageInBrowser(t *testing.T) {
	b := openBrowser(t)
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, []byte(pageOf(t, lively(t))), 0o600); err != nil {
		t.Fatal(err)
	}
	address := (&url.URL{Scheme: "file", Path: file}).String()
	dir := t.ArtifactDir()
	for _, v := range []struct {
		name   string
		width  int64
		mobile bool
		scheme string
	}{{"wide-light", 1100, false, "light"}, {"wide-dark", 1100, false, "dark"}, {"phone-light", 360, true, "light"}, {"phone-dark", 360, true, "dark"}} {
		var (
			title, background string
			lines             []drawn
			marks, right      float64
			shot              []byte
		)
		b.run(t,
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.scheme}}),
			emulation.SetDeviceMetricsOverride(v.width, 800, 1, v.mobile),
			chromedp.Navigate(address),
			chromedp.Title(&title),
			chromedp.Evaluate(allDrawn, &lines),
			chromedp.Evaluate(`document.querySelectorAll("#latency line.mark").length`, &marks),
			chromedp.Evaluate(`getComputedStyle(document.body).backgroundColor`, &background),
			chromedp.Evaluate(widest, &right),
			chromedp.ActionFunc(func(ctx context.Context) (err error) {
				shot, err = cdppage.CaptureScreenshot().WithCaptureBeyondViewport(true).Do(ctx)
				return err
			}),
		)
		if title != "heddle bench: 127.0.0.1:8080" || marks != 3 {
			t.Errorf("%s: title %q, %v marks", v.name, title, marks)
		}
		if dark := strings.HasPrefix(background, "rgb(1"); dark != (v.scheme == "dark") {
			t.Errorf("%s: the background is %s", v.name, background)
		}
		if right > float64(v.width) {
			t.Errorf("%s: something reaches to %v of %d", v.name, right, v.width)
		}
		charts := make(map[string]int)
		for _, l := range lines {
			charts[l.Chart]++
			flat := l.Chart == "rate" || l.Class == "s4" && l.Chart == "errors" // as in the made run
			if l.Length < 900 || l.Width < 200 || l.Height < 20 && !flat || l.Stroke == "none" || l.Stroke == "" {
				t.Errorf("%s: not drawn: %+v", v.name, l)
			}
		}
		if charts["rate"] != 3 || charts["latency"] != 4 || charts["errors"] != 1 || charts["flight"] != 1 || charts["spread"] != 1 {
			t.Errorf("%s: lines %v", v.name, charts)
		}
		if len(shot) < 10_000 {
			t.Errorf("%s: a screenshot of %d bytes", v.name, len(shot))
		}
		if err := os.WriteFile(filepath.Join(dir, v.name+".png"), shot, 0o600); err != nil {
			t.Error(err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, u := range b.asked {
		if u != address && !strings.HasPrefix(u, "data:") {
			t.Errorf("it asked for %s", u)
		}
	}
	if len(b.asked) < 4 {
		t.Errorf("the browser was seen asking for %q only: nothing was watched", b.asked)
	}
	if len(b.complain) > 0 {
		t.Errorf("the console says %q", b.complain)
	}
}

// TestBrowserSees: what TestPageInBrowser wants not to happen would be noticed.
func TestBrowserSees(t *testing.T) {
	b := openBrowser(t)
	file := filepath.Join(t.TempDir(), "bad.html")
	if err := os.WriteFile(file, []byte(`<!DOCTYPE html><title>x</title><img src="http://127.0.0.1:1/x.png"><script>console.log("said"); nothing()</script>`), 0o600); err != nil {
		t.Fatal(err)
	}
	b.run(t, chromedp.Navigate((&url.URL{Scheme: "file", Path: file}).String()))
	for end := time.Now().Add(browserPatience); ; time.Sleep(10 * time.Millisecond) {
		b.mu.Lock()
		asked, complain := fmt.Sprint(b.asked), fmt.Sprint(b.complain)
		b.mu.Unlock()
		if strings.Contains(asked, "127.0.0.1:1/x.png") && strings.Contains(complain, "log") && strings.Contains(complain, "nothing is not defined") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("asked for %s; the console says %s", asked, complain)
		}
	}
}
