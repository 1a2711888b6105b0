package httpcompat_test

import (
	"io"
	"log"
	"log/slog"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Handlers here panic on purpose; what they log is looked at where it matters.
func TestMain(m *testing.M) {
	if os.Getenv("HTTPCOMPAT_TEST_PROGRAM") != "" {
		program()
	}
	log.SetOutput(io.Discard)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait")) // which sleeps half a second
}
