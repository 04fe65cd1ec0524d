package host_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	swaps    = 1000
	swapURL  = "https://swap.execute-api.localhost/prod/v"
	otherURL = "https://other.execute-api.localhost/prod/v"
)

// state is what the files say after a step; every step changes one thing.
type state struct {
	document, plugin int
	other            bool // the second API is there
}

// swapper changes the files step by step while others ask what is served. An answer must
// be that of one state, no older than the newest that was live when the request began, no
// newer than the newest that was written when the answer ended.
type swapper struct {
	*gateway
	authority     *authority
	upstream      string
	states        [swaps + 1]state
	written, live atomic.Int64 // indexes into states
}

func (s *swapper) document(id string, version int) string {
	return document(fmt.Sprintf("x-wasmgate-api: {id: %s, stage: prod}\nx-wasmgate-policies: [{plugin: stamp, config: %q}]", id, mark(version)),
		`/v: {x-amazon-apigateway-any-method: {`+proxy(s.upstream+"/v/"+mark(version))+`}}`)
}

func newSwapper(t *testing.T) *swapper {
	// What reached the upstream is the answer. It keeps nothing, so that memory can be measured.
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.URL.Path, " ", r.Header.Get("x-plugin"), " ", r.Header.Get("x-config"))
	}))
	t.Cleanup(up.Close)
	s := &swapper{authority: newAuthority(t), upstream: up.URL}
	content := files{
		"wasmgate.yaml":      withFiles + "log: {level: error, access: {enabled: false}}\n",
		"apis/swap.yaml":     s.document("swap", 0),
		"plugins/stamp.wasm": stamp(0),
	}
	maps.Copy(content, s.authority.issue(t, 1, "*.execute-api.localhost"))
	s.gateway = start(t, content)
	s.roots = s.authority.roots
	s.h1, s.h2 = s.client(false), s.client(true)
	return s
}

// step makes state n of state n-1, on disk and live.
func (s *swapper) step(t *testing.T, n int) {
	now := s.states[n-1]
	var change files
	switch n % 4 {
	case 0:
		now.plugin = n
		change = files{"plugins/stamp.wasm": stamp(n)}
	case 1:
		now.document = n
		change = files{"apis/swap.yaml": s.document("swap", n)}
	case 2:
		now.other = !now.other
		change = files{"apis/other.yaml": ""}
		if now.other {
			change["apis/other.yaml"] = s.document("other", n)
		}
	case 3:
		change = s.authority.issue(t, int64(n), "*.execute-api.localhost")
	}
	s.states[n] = now
	s.written.Store(int64(n))
	s.update(change)
	s.live.Store(int64(n))
	if n%4 == 3 {
		require.EqualValues(t, n, s.serial(t), "the certificate that a new connection gets")
	}
}

// serial is the serial number of the certificate that is served.
func (s *swapper) serial(t *testing.T) int64 {
	c, err := tls.Dial("tcp", s.https, &tls.Config{RootCAs: s.roots, ServerName: "swap.execute-api.localhost"})
	require.NoError(t, err)
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// fetch sends one request and reads its answer.
func fetch(c *http.Client, method, url string, body []byte) (*http.Response, string, error) {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp, string(data), err
}

// ask sends one request and says what is wrong with its answer.
func (s *swapper) ask(c *http.Client, method, url string) error {
	from := int(s.live.Load())
	resp, body, err := fetch(c, method, url, nil)
	if err != nil {
		return err
	}
	to := int(s.written.Load())
	fits := func(state) bool { return false }
	if url == otherURL {
		fits = func(st state) bool { return st.other == (resp.StatusCode == http.StatusOK) }
	}
	switch {
	case resp.StatusCode == http.StatusForbidden && url == otherURL:
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d: %s", resp.StatusCode, body)
	default:
		words := strings.Fields(body)
		plugin, config := resp.Header.Get("x-plugin"), resp.Header.Get("x-config")
		if len(words) != 3 || words[0] != "/v/"+config || words[1] != plugin || words[2] != config {
			return fmt.Errorf("a mix: request %q, response plugin %q, config %q", words, plugin, config)
		}
		if url == swapURL {
			p, err1 := strconv.Atoi(plugin)
			d, err2 := strconv.Atoi(config)
			fits = func(st state) bool { return err1 == nil && err2 == nil && st.plugin == p && st.document == d }
		}
	}
	for n := from; n <= to; n++ {
		if fits(s.states[n]) {
			return nil
		}
	}
	return fmt.Errorf("status %d, %q is of no state from %d to %d", resp.StatusCode, body, from, to)
}

// load is clients that never stop asking.
type load struct {
	requests, failed atomic.Int64
	mu               sync.Mutex
	errs             []error // the first few
	stopping         chan struct{}
	running          sync.WaitGroup
}

func (l *load) start(ask func() error) {
	l.running.Go(func() { // waited for by stop
		for {
			select {
			case <-l.stopping:
				return
			default:
			}
			l.requests.Add(1)
			if err := ask(); err != nil {
				l.failed.Add(1)
				l.mu.Lock()
				if len(l.errs) < 5 {
					l.errs = append(l.errs, err)
				}
				l.mu.Unlock()
			}
		}
	})
}

// stop ends the load, all of whose requests must have been answered well.
func (l *load) stop(t *testing.T) {
	close(l.stopping)
	l.running.Wait()
	require.Zero(t, l.failed.Load(), "of %d requests; the first: %v", l.requests.Load(), l.errs)
}

// while swaps from one state to another under load.
func (s *swapper) while(t *testing.T, from, to int) (requests int64) {
	l := &load{stopping: make(chan struct{})}
	for _, c := range []*http.Client{s.h1, s.h2} {
		l.start(func() error { return s.ask(c, http.MethodGet, swapURL) })
		l.start(func() error { return s.ask(c, http.MethodPost, swapURL) })
	}
	l.start(func() error { return s.ask(s.h1, http.MethodGet, otherURL) })
	n := 0
	l.start(func() error { // new connections, with the certificate of the moment
		fresh := s.client(n%2 == 0)
		n++
		defer fresh.CloseIdleConnections()
		return s.ask(fresh, http.MethodGet, swapURL)
	})
	for n := from; n <= to; n++ {
		s.step(t, n)
	}
	l.stop(t)
	return l.requests.Load()
}

// footprint is what the process holds once it is at rest.
type footprint struct{ heap, rss, goroutines, descriptors, mappings int }

func (s *swapper) footprint(t *testing.T) (f footprint) {
	s.h1.CloseIdleConnections()
	s.h2.CloseIdleConnections()
	await(t, "connections to end", func() bool { return s.metric("wasmgate_connections") == 0 })
	runtime.GC()
	runtime.GC() // what finalizers of the first held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f.heap = int(m.HeapAlloc)
	f.goroutines = runtime.NumGoroutine()
	if open, err := os.ReadDir("/dev/fd"); err == nil {
		f.descriptors = len(open)
	}
	if maps, err := os.ReadFile("/proc/self/maps"); err == nil { // Linux: compiled code is mapped
		f.mappings = bytes.Count(maps, []byte("\n"))
	}
	if statm, err := os.ReadFile("/proc/self/statm"); err == nil {
		var size, pages int
		fmt.Sscan(string(statm), &size, &pages)
		f.rss = pages * os.Getpagesize()
	}
	return f
}

// TestSwaps is the promise of hot load: whatever is swapped, however often, no request is
// lost, none sees two states at once, and nothing stays behind.
func TestSwaps(t *testing.T) {
	s := newSwapper(t)
	const warm = 100
	start := time.Now()
	requests := s.while(t, 1, warm)
	before := s.footprint(t)
	requests += s.while(t, warm+1, swaps)
	took := time.Since(start)
	var after footprint
	const mib = 1 << 20
	await(t, "goroutines to end", func() bool {
		after = s.footprint(t)
		return after.goroutines <= before.goroutines+2 && after.descriptors <= before.descriptors+2
	})
	t.Logf("%d swaps under %d requests in %v; heap %.1f -> %.1f MiB, RSS %.1f -> %.1f MiB, goroutines %d -> %d, descriptors %d -> %d, mappings %d -> %d",
		swaps, requests, took.Round(time.Millisecond), float64(before.heap)/mib, float64(after.heap)/mib, float64(before.rss)/mib, float64(after.rss)/mib,
		before.goroutines, after.goroutines, before.descriptors, after.descriptors, before.mappings, after.mappings)
	require.Less(t, after.heap-before.heap, 4*mib)
	require.Less(t, after.mappings-before.mappings, 100, "native code of replaced plugins")
	require.GreaterOrEqual(t, requests, int64(swaps))
	require.Zero(t, s.metric("wasmgate_config_reloads_total", `result="failure"`))
	require.GreaterOrEqual(t, s.metric("wasmgate_config_reloads_total", `result="success"`), float64(swaps))
}
