package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options are the choices of a [Server]. Address, DataDir, Host and Metrics are needed.
type Options struct {
	// Address is host:port on loopback; port 0 lets the kernel choose.
	Address string
	// DataDir holds admin.token.
	DataDir string
	Host    Host
	Metrics prometheus.Gatherer
	// Commands are answered beside the listener's own; all want the token.
	Commands []Command
	// Log hears of reloads and of who was refused; nil is slog.Default().
	Log *slog.Logger
}

const (
	headTimeout  = 5 * time.Second
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second // of all but a reload, which may compile plugins
	idleTimeout  = 30 * time.Second
	drainTimeout = 5 * time.Second
	headBytes    = 16 << 10
	scrapes      = 4 // at once
)

// Server is the admin listener.
type Server struct {
	o       Options
	token   token
	created bool
	metrics http.Handler
	routes  map[string]route
	server  *http.Server

	mu       sync.Mutex
	listener net.Listener
	closed   bool
}

// New checks the options and opens nothing.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil {
		return nil, fmt.Errorf("admin address %q: %w", o.Address, err)
	}
	if !loopback(host) {
		return nil, fmt.Errorf("admin address %q, want a loopback address such as 127.0.0.1:9443: "+
			"the admin plane is not for the network; reach it through a tunnel", o.Address)
	}
	s := &Server{o: o, routes: maps.Clone(ownRoutes)}
	for _, c := range o.Commands {
		s.routes[c.Path] = route{method: c.Method, token: true, serve: c.serve, urgent: c.Urgent}
	}
	s.metrics = promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{MaxRequestsInFlight: scrapes})
	s.server = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: headBytes, DisableGeneralOptionsHandler: true,
		ErrorLog:  slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		Protocols: new(http.Protocols),
	}
	s.server.Protocols.SetHTTP1(true)
	return s, nil
}

// Listen binds the address and reads the token, or makes it.
func (s *Server) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.token, s.created, err = openToken(s.o.DataDir); err != nil {
		return fmt.Errorf("open admin token: %w", err)
	}
	l, err := net.Listen("tcp", s.o.Address)
	if err != nil {
		return fmt.Errorf("listen for admin: %w", err)
	}
	// A name may stand for any address: what counts is what was bound.
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		l.Close()
		return fmt.Errorf("listen for admin: %q is %s, want a loopback address", s.o.Address, l.Addr())
	}
	s.listener = l
	return nil
}

// Addr is the bound address; nil before [Server.Listen].
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// TokenFile is where the token is, and whether Listen made it, so that it can be told once.
func (s *Server) TokenFile() (path string, created bool) {
	return filepath.Join(s.o.DataDir, "admin.token"), s.created
}

// Run serves until ctx ends, then lets requests in flight finish for 5 s. Call it once,
// after Listen. It returns nil when ctx ended or Close was called.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	l, closed := s.listener, s.closed
	s.mu.Unlock()
	if closed {
		return nil
	}
	if l == nil {
		return errors.New("serve admin: not listening")
	}
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(l) }() // waited for below
	select {
	case err := <-served:
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("serve admin: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if s.server.Shutdown(drain) != nil {
		s.server.Close() // what did not finish is cut off
	}
	<-served
	return nil
}

// Close cuts off what runs and frees the address. Further calls do nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.server.Close()
	if s.listener != nil {
		if e := s.listener.Close(); !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// loopback tells whether host, without a port, means this machine whatever DNS says.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Zone() == "" && a.Unmap().IsLoopback()
}

// foreign says why r does not come from a program on this machine; empty when it does.
func foreign(r *http.Request) string {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	switch {
	case !loopback(host):
		return "the host is not a loopback name" // DNS rebinding
	case len(r.Header.Values("Origin")) > 0, len(r.Header.Values("Sec-Fetch-Site")) > 0:
		return "browsers are not served" // a page that posts across origins, CVE-2026-27589
	}
	return ""
}

// route is one path of the listener.
type route struct {
	method string
	token  bool
	serve  func(*Server, http.ResponseWriter, *http.Request)
	urgent bool
}

var ownRoutes = map[string]route{
	"/livez":           {method: http.MethodGet, serve: (*Server).live},
	"/readyz":          {method: http.MethodGet, serve: (*Server).ready},
	"/healthz":         {method: http.MethodGet, serve: (*Server).ready},
	"/metrics":         {method: http.MethodGet, serve: func(s *Server, w http.ResponseWriter, r *http.Request) { s.metrics.ServeHTTP(w, r) }},
	"/admin/v1/status": {method: http.MethodGet, token: true, serve: (*Server).status},
	"/admin/v1/audit":  {method: http.MethodGet, token: true, serve: (*Server).audit},
	"/admin/v1/reload": {method: http.MethodPost, token: true, serve: (*Server).reload},
}

// ServeHTTP is http.Handler's.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if why := foreign(r); why != "" {
		s.refuse(w, r, http.StatusForbidden, why)
		return
	}
	// The raw target, not the decoded path: /admin/v1/../status, //livez and %2f are
	// other paths, and there are none (CVE-2026-45692).
	path, _, _ := strings.Cut(r.RequestURI, "?")
	route, ok := s.routes[path]
	if (!ok || route.token) && !s.token.allows(r) {
		// Unknown paths too: who has no token learns nothing about what is there.
		h.Set("WWW-Authenticate", "Bearer")
		s.refuse(w, r, http.StatusUnauthorized, "the admin token is missing or wrong")
		return
	}
	if !ok {
		s.refuse(w, r, http.StatusNotFound, "there is nothing at this path")
		return
	}
	if r.Method != route.method && !(r.Method == http.MethodHead && route.method == http.MethodGet) {
		h.Set("Allow", route.method)
		s.refuse(w, r, http.StatusMethodNotAllowed, "want "+route.method)
		return
	}
	if route.method != http.MethodGet {
		if err := s.o.Host.Record(r.RemoteAddr, r.Method, path); err != nil && !route.urgent {
			s.refuse(w, r, http.StatusServiceUnavailable, "what is not recorded is not done: "+err.Error())
			return
		}
	}
	route.serve(s, w, r)
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	// Without the query, in which a token may stand by mistake.
	s.o.Log.Warn("admin request refused", "remote", r.RemoteAddr, "method", r.Method, "path", r.URL.Path,
		"host", r.Host, "status", status, "reason", why)
	w.Header().Set("Connection", "close")
	write(w, status, map[string]string{"message": why})
}

func write(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil { // plain structs always have JSON
		status, data = http.StatusInternalServerError, []byte(`{"message":"status has no JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // a client that went away
}

func (s *Server) live(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, map[string]bool{"live": true})
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	st := s.o.Host.Status()
	status := http.StatusOK
	if !st.Ready {
		status = http.StatusServiceUnavailable
	}
	write(w, status, struct {
		Ready bool   `json:"ready"`
		Parts []Part `json:"parts"`
	}{st.Ready, st.Parts})
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, s.o.Host.Status())
}

func (s *Server) audit(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, s.o.Host.Review())
}

// reload answers 200, or 422 with the reason and the old snapshot serving on.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
		s.o.Log.Warn("reload keeps the write deadline", "error", err)
	}
	s.o.Log.Info("reload asked for", "remote", r.RemoteAddr)
	// Not r.Context(): a client that goes away does not stop a reload half way.
	err := s.o.Host.Reload(context.WithoutCancel(r.Context()))
	st := s.o.Host.Status()
	answer := struct {
		Reloaded bool     `json:"reloaded"`
		Error    string   `json:"error,omitempty"`
		Snapshot Snapshot `json:"snapshot"`
	}{Reloaded: err == nil, Snapshot: st.Snapshot}
	status := http.StatusOK
	if err != nil {
		answer.Error, status = err.Error(), http.StatusUnprocessableEntity
	}
	write(w, status, answer)
}
