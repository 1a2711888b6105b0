package config

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCompareEveryKey: a change of any key is found, alone, with the key's When.
func TestCompareEveryKey(t *testing.T) {
	write(t, map[string]string{"heddle.toml": full})
	old := load(t, "heddle.toml")
	for i := range keys {
		k := &keys[i]
		if k.at == nil {
			continue
		}
		changed := load(t, "heddle.toml")
		app := ""
		if k.App {
			app = "shop"
		}
		switch p := k.at(changed, changed.App(app)).(type) {
		case *string:
			*p += "x"
		case *bool:
			*p = !*p
		case *[]string:
			*p = append(*p, "x")
		case *map[string]string:
			*p = map[string]string{"A": "2"}
		case *int:
			*p++
		case *int64:
			*p++
		case *uint64:
			*p++
		case *Size:
			*p++
		case *time.Duration:
			*p++
		default:
			t.Fatalf("%s is a %T", k.Name, p)
		}
		got := Compare(old, changed)
		if len(got) != 1 || got[0].Key != k.Name || got[0].App != app || got[0].When != k.When || got[0].Old == got[0].New || got[0].At.File == "" && !slices.Contains(foreign, k.Name) {
			t.Errorf("%s: got %+v", k.Name, got)
		}
		if refused := got.Refused() != nil; refused != (k.When == Restart) {
			t.Errorf("%s takes effect: %v; refused: %v", k.Name, k.When, refused)
		}
		if back := Compare(changed, changed); back != nil {
			t.Errorf("%s: nothing changed, got %v", k.Name, back)
		}
	}
}

// TestWhen holds the table to what a daemon can do: N48, what of an app makes a
// new release, and what of the daemon is settled when it starts.
func TestWhen(t *testing.T) {
	for _, want := range []struct {
		when When
		app  bool
		keys string
	}{
		{Restart, false, "name listen listen-mode listen-group admin control locator join storage allow-start loops tls-cert tls-key tls-client-ca tls-client-optional trusted-proxies read-header-timeout read-timeout write-timeout response-header-timeout idle-timeout max-header-bytes max-headers max-body-bytes max-clients access-log access-log-format"},
		{Restart, true, "http health dialect cloud event suspended concurrency log.stdout log.stderr log.memory log.rotate-size log.rotate-age log.gzip log.keep"},
		{Deploy, false, ""},
		{Deploy, true, "target args dir env env-allow user group"},
	} {
		var got []string
		for _, k := range keys {
			if k.When == want.when && k.App == want.app {
				got = append(got, k.Name)
			}
		}
		if !slices.Equal(got, strings.Fields(want.keys)) {
			t.Errorf("%v: got %s, want %s", want.when, got, want.keys)
		}
	}
}

// TestCompare: what a reload does, and what it refuses as a whole (N48).
func TestCompare(t *testing.T) {
	write(t, map[string]string{
		"old.toml":  "name = 'x'\nloops = 1\n[app.a]\ntarget = 'a'\n[app.b]\ntarget = 'b'\npaths = ['/b']\n",
		"new.toml":  "name = 'x'\nloops = 1\n[app.c]\ntarget = 'c'\npaths = ['/c']\n[app.a]\ntarget = 'a2'\nworkers = 77\nqueue = 16384\n",
		"no.toml":   "name = 'y'\nloops = 2\n[app.a]\ntarget = 'a'\nstandbys = 1\n[app.b]\ntarget = 'b'\npaths = ['/b']\n",
		"same.toml": "loops = 1\n# moved\nname = 'x'\n[app.b]\npaths = ['/b']\ntarget = 'b'\n[app.a]\ntarget = 'a'\n",
	})
	old := load(t, "old.toml")
	changes := Compare(old, load(t, "new.toml"))
	var got []string
	for _, c := range changes {
		got = append(got, c.At.String()+" "+c.When.String()+" "+c.String())
	}
	workers := literal(old.Apps[0].Workers)
	want := []string{
		"new.toml:3 live app.c is new",
		`new.toml:7 deploy app.a.target: "a" -> "a2"`,
		"new.toml:8 live app.a.workers: " + workers + " -> 77",
		"old.toml:5 live app.b is gone",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !changes[0].Added() || changes[0].Removed() || !changes[3].Removed() || changes[3].Added() || changes[1].Added() || changes[1].Removed() {
		t.Errorf("who comes and who goes: %+v", changes)
	}
	if err := changes.Refused(); err != nil {
		t.Errorf("refused: %v", err)
	}
	if n := changes.Need(Deploy); len(n) != 1 || n[0].App != "a" || len(changes.Of("a")) != 2 {
		t.Errorf("deploys: %v", n)
	}
	err := Compare(old, load(t, "no.toml")).Refused()
	if want := "no.toml:1: name: \"x\" -> \"y\" needs a restart of the daemon\nno.toml:2: loops: 1 -> 2 needs a restart of the daemon"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if c := Compare(old, load(t, "same.toml")); c != nil {
		t.Errorf("the same in another order: %v", c)
	}

	// A file that has gone bad leaves what was loaded as it was.
	before := *old
	if err := os.WriteFile("old.toml", []byte("nmae = 1"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load("old.toml"); err == nil {
		t.Error("a bad file is taken")
	}
	if !reflect.DeepEqual(before, *old) {
		t.Error("what was loaded has changed")
	}
}
