package httpcompat

import (
	"context"
	"net/http"

	"github.com/heddle-go/heddle/worker"
)

// SuspendMiddleware holds requests while the engine has this process hold its
// work back (worker.Suspended), and gives them to next when it is resumed. In a
// program that was started by hand they pass at once.
//
// A request whose context ends first is not given to next. It is answered with
// 503 and Retry-After, which a client that has gone will not see, but one behind a
// deadline of the program's own will.
//
// Drained while it is suspended, a worker goes on holding: what the suspension
// waits for has not happened, and the engine may yet resume it. The engine's drain
// time-out ends that, and with it the request's context. The server's time-outs
// go on as well, and a held request counts as one that is being served.
func SuspendMiddleware(next http.Handler) http.Handler { return hold(next, worker.AwaitResume) }

func hold(next http.Handler, await func(context.Context) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if await(r.Context()) != nil {
			w.Header().Set("Retry-After", "1") // s
			http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}
