package conformance

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// upstream is where a host's requests arrive. It answers 200, the header x-upstream and the
// request's method and target as body; the request's headers change that:
// conformance-status, conformance-header ("name: value"), conformance-body. A request whose
// path ends in /hang is not answered, until who asks goes away.
type upstream struct {
	listener net.Listener
	server   *http.Server
	ended    chan error

	mu   sync.Mutex
	list []seen
}

// seen is one request that arrived.
type seen struct {
	method, target, host, body string
	header                     http.Header
}

// openUpstream listens on a free port of loopback.
func openUpstream(ctx context.Context) (*upstream, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{listener: l, ended: make(chan error, 1)}
	u.server = &http.Server{Handler: u, ReadHeaderTimeout: time.Minute}
	go func() { u.ended <- u.server.Serve(l) }() // waited for by close
	return u, nil
}

func (u *upstream) url() string { return "http://" + u.listener.Addr().String() }

func (u *upstream) close() error {
	err := u.server.Close()
	if ended := <-u.ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// ServeHTTP records and answers.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what came before a broken end is what arrived
	u.mu.Lock()
	u.list = append(u.list, seen{r.Method, r.RequestURI, r.Host, string(body), r.Header.Clone()})
	u.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/hang") {
		<-r.Context().Done()
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("X-Upstream", "yes")
	for _, field := range r.Header.Values("Conformance-Header") {
		name, value, _ := strings.Cut(field, ": ")
		w.Header().Add(name, value)
	}
	if status, err := strconv.Atoi(r.Header.Get("Conformance-Status")); err == nil {
		w.WriteHeader(status)
	}
	if text := r.Header.Get("Conformance-Body"); text != "" {
		_, _ = io.WriteString(w, text) // the client may be gone
		return
	}
	_, _ = io.WriteString(w, r.Method+" "+r.RequestURI)
}

// since is what arrived after the first n, and how many there are now.
func (u *upstream) since(n int) ([]seen, int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.list[n:], len(u.list)
}
