package conformance

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Upstream is what the routes under test call. It answers every request with "answer N", N
// counting from 1 in each step's case, and keeps what arrived.
type Upstream struct {
	// URL is http://host:port.
	URL string

	server *http.Server
	served sync.WaitGroup

	mu       sync.Mutex
	arrived  []arrival
	answered int
}

type arrival struct {
	method, target, host string
	header               http.Header
	body                 string
}

// ListenUpstream serves on an address of loopback; port 0 lets the kernel choose. Close it.
func ListenUpstream(address string) (*Upstream, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for the upstream: %w", err)
	}
	u := &Upstream{URL: "http://" + l.Addr().String()}
	u.server = &http.Server{Handler: u, ReadHeaderTimeout: 10 * time.Second}
	u.served.Go(func() { _ = u.server.Serve(l) }) // ends with Close, which waits
	return u, nil
}

// Close ends it.
func (u *Upstream) Close() error {
	err := u.server.Close()
	u.served.Wait()
	return err
}

// ServeHTTP is http.Handler's. The query's x-status chooses the answer's status, x-age its
// max-age, x-long the length of its body. A path that ends in /hang is not answered.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway gave up
	}
	u.mu.Lock()
	u.answered++
	n := u.answered
	u.arrived = append(u.arrived, arrival{r.Method, r.RequestURI, r.Host, r.Header, string(body)})
	u.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/hang") {
		<-r.Context().Done()
		return
	}
	q := r.URL.Query()
	h := w.Header()
	h.Set("Content-Type", "text/plain")
	h.Add("X-Up", "one")
	h.Add("X-Up", "two")
	if age := q.Get("x-age"); age != "" {
		h.Set("Cache-Control", "max-age="+age)
	}
	answer := fmt.Sprintf("answer %d", n)
	if long, err := strconv.Atoi(q.Get("x-long")); err == nil {
		answer = strings.Repeat("x", long)
	}
	if status, err := strconv.Atoi(q.Get("x-status")); err == nil {
		w.WriteHeader(status)
	}
	_, _ = io.WriteString(w, answer) // a gateway that went away
}

// reset begins a case.
func (u *Upstream) reset() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.arrived, u.answered = nil, 0
}

// take is what arrived since the last call.
func (u *Upstream) take() []arrival {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := u.arrived
	u.arrived = nil
	return list
}

// differs says what of an arrival is not as wanted.
func (a *arrival) differs(want *Sent, route string) (faults []string) {
	if want.Method != "" && a.method != want.Method {
		faults = append(faults, fmt.Sprintf("upstream got method %q, want %q", a.method, want.Method))
	}
	if target := strings.ReplaceAll(want.Target, "ROUTE", route); target != "" && a.target != target {
		faults = append(faults, fmt.Sprintf("upstream got target %q, want %q", a.target, target))
	}
	if want.Host != "" && a.host != want.Host {
		faults = append(faults, fmt.Sprintf("upstream got host %q, want %q", a.host, want.Host))
	}
	faults = append(faults, headersDiffer("upstream", a.header, want.Headers, want.Absent)...)
	if want.Body != nil && a.body != *want.Body {
		faults = append(faults, fmt.Sprintf("upstream got body %q, want %q", a.body, *want.Body))
	}
	return faults
}

// headersDiffer compares headers; several values of one name are joined by "|".
func headersDiffer(who string, got http.Header, want map[string]string, absent []string) (faults []string) {
	for name, value := range want {
		if have := strings.Join(got.Values(name), "|"); have != value {
			faults = append(faults, fmt.Sprintf("%s got header %s %q, want %q", who, name, have, value))
		}
	}
	for _, name := range absent {
		if values := got.Values(name); len(values) > 0 {
			faults = append(faults, fmt.Sprintf("%s got header %s %q, want none", who, name, values))
		}
	}
	slices.Sort(faults)
	return faults
}
