package report

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/heddle-go/heddle/cmd/internal/bench"
)

// FuzzResult: whatever a file holds that is read as a result, all reports of it can be
// made, or say what is wrong.
func FuzzResult(f *testing.F) {
	for _, m := range []made{{intervals: 0}, {intervals: 2, warm: 1, rate: 3, mean: time.Millisecond, errors: 1}, {intervals: 9, rate: 2, mean: time.Second}} {
		r := m.result(f)
		r.AddMark(r.Started, "died", "<b>")
		var b bytes.Buffer
		if err := r.Write(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		r, err := bench.Read(bytes.NewReader(p))
		if err != nil {
			return
		}
		for name, write := range map[string]func(io.Writer, *bench.Result) error{
			"text": func(w io.Writer, r *bench.Result) error { return r.Text(w) },
			"CSV":  func(w io.Writer, r *bench.Result) error { return r.CSV(w) },
			"page": Page,
		} {
			var b bytes.Buffer
			if err := write(&b, r); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if name == "page" && bytes.Contains(bytes.ToLower(b.Bytes()), []byte("<script")) {
				t.Errorf("the page has a script:\n%s", &b)
			}
		}
		_ = HDRLog(io.Discard, r) // ErrNotKept
		if c, err := Compare([]*bench.Result{r}, []*bench.Result{r}, CompareOptions{Resamples: 100}); err == nil {
			if err := c.Text(io.Discard); err != nil {
				t.Error(err)
			}
			if err := c.JSON(io.Discard); err != nil {
				t.Error(err)
			}
			if list := c.Regressions(0); len(list) > 0 && c.Metrics[0].Verdict != Unknown {
				t.Errorf("worse than itself: %q", list)
			}
		}
	})
}
