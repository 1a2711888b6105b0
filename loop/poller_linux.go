package loop

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/panjf2000/gnet/v2/pkg/logging"
)

// quietPoller sends what gnet's poller has to say to slog: its own logger, one per
// process, prints to standard output, which belongs to the program. It says
// something only when the kernel refuses epoll_wait.
var quietPoller = sync.OnceFunc(func() {
	logging.SetDefaultLoggerAndFlusher(pollerLogger{}, nil)
})

type pollerLogger struct{}

func (pollerLogger) Debugf(format string, args ...any) {}
func (pollerLogger) Infof(format string, args ...any)  {}
func (pollerLogger) Warnf(format string, args ...any) {
	slog.Warn("loop: poller: " + fmt.Sprintf(format, args...))
}
func (pollerLogger) Errorf(format string, args ...any) {
	slog.Error("loop: poller: " + fmt.Sprintf(format, args...))
}
func (pollerLogger) Fatalf(format string, args ...any) {
	slog.Error("loop: poller: " + fmt.Sprintf(format, args...))
}
