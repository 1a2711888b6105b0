package worker

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	heddle "github.com/heddle-go/heddle"
)

// Names of the variables that a Heddle engine sets for its workers.
const (
	EnvProtocol  = "HEDDLE_PROTOCOL"  // "1"
	EnvEndpoint  = "HEDDLE_ENDPOINT"  // of the engine's first loop: "unix:/path" or "host:port"
	EnvUUID      = "HEDDLE_UUID"      // fresh for each process
	EnvIndex     = "HEDDLE_INDEX"     // which of the app's workers this is, from 0; "-1" for a standby
	EnvApp       = "HEDDLE_APP"       // name of the app
	EnvRelease   = "HEDDLE_RELEASE"   // name of the release
	EnvLocator   = "HEDDLE_LOCATOR"   // "host:port" or "unix:/path", comma between several; may be absent
	EnvSuspended = "HEDDLE_SUSPENDED" // "1": starts without work; may be absent
	EnvHTTP      = "HEDDLE_HTTP"      // "1": the program serves plain HTTP, and may attach; may be absent
)

// A Launch is what whoever started this process told it.
type Launch struct {
	Heddle    bool           // by a Heddle engine, not a Cocaine runtime
	Dialect   heddle.Dialect // V1 under Heddle
	Endpoint  string         // "unix:/path", "/path" or "host:port"; further ones come with the engine's welcome
	UUID      string
	Index     int // which of the app's workers, from 0; -1 for a standby; 0 under a Cocaine runtime
	App       string
	Release   string // "" under a Cocaine runtime
	Locator   string // "host:port", comma between several; under Heddle also "unix:/path"; "" for none
	Suspended bool   // starts without work, until it is resumed
	HTTP      bool   // under heddle run --http: the program serves plain HTTP by itself, and sessions not at all; see Attach
}

// launched is read once, before main, and never changes afterwards, but for the
// standing. It is package-level state because flag.Parse in main, and a child
// started by it, must already see neither flags nor variables.
var launched struct {
	launch   *Launch // nil: started by hand, or err says why not
	err      error
	standing *standing // of the process's own worker; as if never suspended in a program started by hand
	attached *attachment
}

func init() {
	l, err := fromEnvironment(os.LookupEnv)
	if l != nil || err != nil {
		names := []string{EnvProtocol, EnvEndpoint, EnvHTTP}
		if l == nil || !l.HTTP { // else the others are the program's to read
			names = append(names, EnvUUID, EnvIndex, EnvApp, EnvRelease, EnvLocator, EnvSuspended)
		}
		for _, name := range names {
			_ = os.Unsetenv(name) // fails for malformed names only
		}
	} else {
		l, os.Args, err = fromArguments(os.Args)
	}
	setLaunched(l, err)
	if l != nil && !l.HTTP {
		raiseHeap(os.LookupEnv)
	}
}

func setLaunched(l *Launch, err error) {
	launched.launch, launched.err, launched.attached = l, err, &attachment{}
	if l == nil {
		l = &Launch{}
	}
	launched.standing = newStanding(l)
}

// Launched returns how an engine started this process, and whether one did; if
// HTTP is true then, the process is to serve by itself.
// What it told may be of no use: New then says why.
func Launched() (*Launch, bool) {
	if launched.err != nil {
		return &Launch{}, true
	}
	if launched.launch == nil {
		return nil, false
	}
	l := *launched.launch
	return &l, true
}

// fromEnvironment reads what a Heddle engine says; nil if none did.
func fromEnvironment(lookup func(string) (string, bool)) (*Launch, error) {
	protocol, ok := lookup(EnvProtocol)
	if !ok {
		return nil, nil
	}
	if protocol != "1" {
		return nil, fmt.Errorf("worker: %s=%q: this program speaks protocol 1; build it against the engine's release", EnvProtocol, protocol)
	}
	l := &Launch{Heddle: true, Dialect: heddle.V1}
	for name, to := range map[string]*string{EnvEndpoint: &l.Endpoint, EnvUUID: &l.UUID, EnvApp: &l.App, EnvRelease: &l.Release, EnvLocator: &l.Locator} {
		*to, _ = lookup(name)
	}
	if index, ok := lookup(EnvIndex); ok {
		var err error
		if l.Index, err = strconv.Atoi(index); err != nil || l.Index < -1 {
			return nil, fmt.Errorf("worker: %s=%q is not a number from 0, nor the -1 of a standby", EnvIndex, index)
		}
	}
	suspended, _ := lookup(EnvSuspended)
	l.Suspended = suspended == "1"
	plain, _ := lookup(EnvHTTP)
	l.HTTP = plain == "1"
	return l, l.check()
}

// fromArguments takes the five flags of a Cocaine runtime out of args, the
// first of each name, in either form ("--x v", "--x=v"). Unless --uuid and
// --endpoint are both there, args is returned as it was.
func fromArguments(args []string) (*Launch, []string, error) {
	l := &Launch{}
	var protocol string
	to := map[string]*string{"app": &l.App, "uuid": &l.UUID, "endpoint": &l.Endpoint, "locator": &l.Locator, "protocol": &protocol}
	seen := make(map[string]bool)
	var rest []string
	for i := 0; i < len(args); i++ {
		if i > 0 && args[i] == "--" {
			rest = append(rest, args[i:]...)
			break
		}
		name, value, joined := strings.Cut(args[i], "=")
		name, long := strings.CutPrefix(name, "--")
		dst := to[name]
		switch {
		case i == 0 || !long || dst == nil || seen[name] || !joined && i+1 == len(args):
			rest = append(rest, args[i])
			continue
		case !joined:
			i++
			value = args[i]
		}
		*dst, seen[name] = value, true
	}
	if !seen["uuid"] || !seen["endpoint"] {
		return nil, args, nil
	}
	switch protocol {
	case "", "0":
		l.Dialect = heddle.V0
	case "1":
		l.Dialect = heddle.V1
	default:
		return nil, rest, fmt.Errorf("worker: --protocol %s: this program speaks 0 and 1", protocol)
	}
	return l, rest, l.check()
}

// check says what a worker cannot do without.
func (l *Launch) check() error {
	if l.UUID == "" {
		return fmt.Errorf("worker: launch without a uuid")
	}
	if l.Heddle && l.Dialect != heddle.V1 {
		return fmt.Errorf("worker: a Heddle engine speaks v1, not %v", l.Dialect)
	}
	_, _, err := splitEndpoint(l.Endpoint)
	return err
}

// splitEndpoint makes network and address of "unix:/path", "/path", "unix:@name",
// "@name" (abstract) or "host:port".
func splitEndpoint(endpoint string) (network, addr string, err error) {
	path, unix := strings.CutPrefix(endpoint, "unix:")
	if path != "" && (unix || path[0] == '/' || path[0] == '@') {
		return "unix", path, nil
	}
	if _, _, err := net.SplitHostPort(endpoint); err != nil || unix {
		return "", "", fmt.Errorf("worker: endpoint %q is neither unix:/path nor host:port", endpoint)
	}
	return "tcp", endpoint, nil
}
