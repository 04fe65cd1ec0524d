package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// The upstream takes a second request on a kept connection and closes without a byte of
// answer: who is asked again, and how often does the upstream see it?
func TestRepeats(t *testing.T) {
	for _, tt := range []struct {
		method, body string
		unknown      bool // the body's length
		answer       string
		requests     int64
		want         Kind
	}{
		{"GET", "", false, "", 3, ""},
		{"HEAD", "", false, "", 3, ""},
		{"PUT", "body", false, "", 3, ""},
		{"DELETE", "", false, "", 3, ""},
		{"POST", "", false, "", 2, Reset},
		{"PATCH", "body", false, "", 2, Reset},
		{"LINK", "", false, "", 2, Reset},
		{"PUT", "body", true, "", 2, Reset},
		{"GET", "", false, "H", 2, Reset},
		{"GET", "", false, "HTTP/1.1 100 Continue\r\n\r\n", 2, Reset},
	} {
		t.Run(fmt.Sprint(tt.method, tt.body, tt.unknown, len(tt.answer)), func(t *testing.T) {
			s := script(t, func(n int64, r *http.Request, c net.Conn) bool {
				io.Copy(io.Discard, r.Body)
				if n == 2 {
					io.WriteString(c, tt.answer)
					return false
				}
				if r.Method == "HEAD" {
					io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
				} else {
					io.WriteString(c, fine)
				}
				return true
			})
			f := newForwarder(t, Options{})
			u := upstreamOf(t, f, s.url)
			_, _, err := get(f, u)
			require.NoError(t, err)
			x := newExchange(tt.body)
			defer x.Release()
			if tt.unknown {
				x.BodyLength = -1
			}
			_, _, err = do(f, &Call{Upstream: u, Method: tt.method}, x)
			require.Equal(t, tt.want, kindOf(err), "%v", err)
			require.Equal(t, tt.requests, s.requests.Load())
		})
	}
}

// On a new connection nothing is repeated, and a repeated request is not repeated again.
func TestRepeatsEnd(t *testing.T) {
	s := script(t, func(n int64, _ *http.Request, c net.Conn) bool {
		if n == 1 {
			io.WriteString(c, fine)
		}
		return n == 1
	})
	f := newForwarder(t, Options{})
	u := upstreamOf(t, f, s.url)
	_, _, err := get(f, u)
	require.NoError(t, err)
	_, _, err = get(f, u)
	require.Equal(t, Reset, kindOf(err))
	require.EqualValues(t, 3, s.requests.Load(), "one request, one repeat")
	_, _, err = get(f, u)
	require.Equal(t, Reset, kindOf(err))
	require.EqualValues(t, 4, s.requests.Load(), "a new connection: no repeat")
}

// A connection that the upstream closed while it was kept is not used, whatever the method.
func TestClosedConnectionsAreSeen(t *testing.T) {
	s := script(t, func(_ int64, _ *http.Request, c net.Conn) bool {
		io.WriteString(c, fine)
		return false
	})
	f := newForwarder(t, Options{})
	u := upstreamOf(t, f, s.url)
	for i := range int64(20) {
		x := newExchange("")
		_, _, err := do(f, &Call{Upstream: u, Method: "POST"}, x)
		require.NoError(t, err)
		x.Release()
		require.Eventually(t, func() bool { // until the FIN is here
			u.mu.Lock()
			defer u.mu.Unlock()
			return len(u.idle) == 0 || !u.idle[0].alive()
		}, time.Second, time.Millisecond)
		require.Equal(t, i+1, s.requests.Load())
	}
}

func TestRetryBudget(t *testing.T) {
	var b budget
	b.fill(0.2)
	n := 0
	for b.spend() {
		n++
	}
	require.Equal(t, budgetBurst/1000, n)
	for range 50 {
		b.deposit()
	}
	for n = 0; b.spend(); n++ {
	}
	require.Equal(t, 10, n)
}

func TestTimeouts(t *testing.T) {
	stall := func(answer string) func(int64, *http.Request, net.Conn) bool {
		return func(_ int64, r *http.Request, c net.Conn) bool {
			io.Copy(io.Discard, r.Body)
			io.WriteString(c, answer)
			io.Copy(io.Discard, c) // until the client gives up
			return false
		}
	}
	drip := func(_ int64, _ *http.Request, c net.Conn) bool {
		io.WriteString(c, "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
		for range 1000 {
			if _, err := c.Write([]byte("x")); err != nil {
				return false
			}
			<-time.After(20 * time.Millisecond)
		}
		return true
	}
	for _, tt := range []struct {
		name    string
		handle  func(int64, *http.Request, net.Conn) bool
		timeout time.Duration
		body    string
		want    Kind
	}{
		{"no answer", stall(""), 0, "", TimeoutFirstByte},
		{"no answer to a long body", stall(""), 0, strings.Repeat("x", 100_000), TimeoutFirstByte},
		{"no answer, total first", stall(""), 60 * time.Millisecond, "", TimeoutTotal},
		{"no answer to a long body, total first", stall(""), 60 * time.Millisecond, strings.Repeat("x", 100_000), TimeoutTotal},
		{"half a head", stall("HTTP/1.1 200"), 0, "", TimeoutIdle},
		{"half a small body", stall("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab"), 0, "", TimeoutIdle},
		{"half a long body", stall("HTTP/1.1 200 OK\r\ncontent-length: 40000\r\n\r\nab"), 0, "", TimeoutIdle},
		{"half a chunk", stall("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab"), 0, "", TimeoutIdle},
		{"drip", drip, 300 * time.Millisecond, "", TimeoutTotal},
		{"takes no body", func(_ int64, _ *http.Request, c net.Conn) bool {
			<-time.After(time.Second)
			return false
		}, 0, strings.Repeat("x", 30<<20), TimeoutIdle},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := script(t, tt.handle)
			f := newForwarder(t, short)
			u := upstreamOf(t, f, s.url)
			x := newExchange(tt.body)
			defer x.Release()
			started := time.Now()
			_, _, err := do(f, &Call{Upstream: u, Method: "POST", Timeout: tt.timeout}, x)
			require.Equal(t, tt.want, kindOf(err), "%v", err)
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, 504, e.Status)
			require.Less(t, time.Since(started), 2*time.Second)
			f.Connections(func(_ string, open, _ int) { require.Zero(t, open) })
		})
	}
}

func TestConnectTimeoutAndRefusal(t *testing.T) {
	f := newForwarder(t, Options{Connect: 100 * time.Millisecond,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }})
	u, err := f.Upstream(Target{Scheme: "http", Host: "192.0.2.1"})
	require.NoError(t, err)
	_, _, err = get(f, u)
	require.Equal(t, TimeoutConnect, kindOf(err), "%v", err)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l.Close()
	f = newForwarder(t, Options{})
	_, _, err = get(f, upstreamOf(t, f, "http://"+l.Addr().String()))
	require.Equal(t, Connect, kindOf(err), "%v", err)
}

// An answer before the body is out ends the upload; the connection is not used again.
func TestEarlyAnswers(t *testing.T) {
	for name, after := range map[string]func(c net.Conn){
		"and reads on":      func(c net.Conn) { io.Copy(io.Discard, c) },
		"and reads no more": func(c net.Conn) { <-time.After(300 * time.Millisecond) },
		"and closes":        func(net.Conn) {},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, func(n int64, r *http.Request, c net.Conn) bool {
				if r.ContentLength == 0 {
					io.WriteString(c, fine)
					return true
				}
				io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno")
				after(c)
				return false
			})
			f := newForwarder(t, Options{})
			u := upstreamOf(t, f, s.url)
			x := newExchange("")
			defer x.Release()
			endless := &endlessBody{}
			x.Body, x.BodyLength = endless, 1<<40
			status, body, err := do(f, &Call{Upstream: u, Method: "POST"}, x)
			require.NoError(t, err)
			require.Equal(t, 401, status)
			require.Equal(t, "no", body)
			require.Less(t, endless.sent, int64(1<<30))
			f.Connections(func(_ string, open, _ int) { require.Zero(t, open) })
			_, _, err = get(f, u)
			require.NoError(t, err)
			require.EqualValues(t, 2, s.connections.Load())
		})
	}
}

type endlessBody struct{ sent int64 }

func (b *endlessBody) Read(p []byte) (int, error) { b.sent += int64(len(p)); return len(p), nil }

// What is wrong with the client's body never looks like a whole request upstream.
func TestBrokenRequestBodies(t *testing.T) {
	for name, tt := range map[string]struct {
		body   io.Reader
		length int64
		status int
	}{
		"breaks":            {io.MultiReader(strings.NewReader("abc"), fails{errors.New("odd chunk")}), -1, 400},
		"breaks, announced": {io.MultiReader(strings.NewReader("abc"), fails{errors.New("gone")}), 1 << 20, 400},
		"breaks, small":     {io.MultiReader(strings.NewReader("abc"), fails{errors.New("gone")}), 10, 400},
		"too slow":          {io.MultiReader(strings.NewReader("abc"), fails{os.ErrDeadlineExceeded}), -1, 408},
		"too long":          {io.MultiReader(strings.NewReader("abc"), fails{exchange.ErrBodyTooLarge}), -1, 413},
		"shorter than told": {strings.NewReader("abc"), 1 << 20, 400},
		"longer than told":  {strings.NewReader(strings.Repeat("x", 30_000)), 20_000, 400},
	} {
		t.Run(name, func(t *testing.T) {
			whole := make(chan error, 1)
			s := script(t, func(_ int64, r *http.Request, c net.Conn) bool {
				_, err := io.Copy(io.Discard, r.Body)
				whole <- err
				return false
			})
			f := newForwarder(t, Options{})
			x := newExchange("")
			defer x.Release()
			x.Body, x.BodyLength = tt.body, tt.length
			_, _, err := do(f, &Call{Upstream: upstreamOf(t, f, s.url), Method: "POST"}, x)
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, RequestBody, e.Kind)
			require.Equal(t, tt.status, e.Status)
			if tt.length == 10 {
				require.Zero(t, s.connections.Load(), "small bodies are read before anything is sent")
			} else {
				require.Error(t, <-whole)
			}
		})
	}
}

type fails struct{ error }

func (f fails) Read([]byte) (int, error) { return 0, f.error }

func TestClientGoesAway(t *testing.T) {
	for name, answer := range map[string]string{
		"before the answer": "",
		"in the stream":     "HTTP/1.1 200 OK\r\ncontent-length: 40000\r\n\r\nab",
	} {
		for _, long := range []bool{false, true} {
			t.Run(fmt.Sprint(name, long), func(t *testing.T) {
				arrived := make(chan struct{})
				s := script(t, func(_ int64, r *http.Request, c net.Conn) bool {
					io.Copy(io.Discard, r.Body)
					io.WriteString(c, answer)
					close(arrived)
					io.Copy(io.Discard, c)
					return false
				})
				f := newForwarder(t, Options{})
				body := ""
				if long {
					body = strings.Repeat("x", 50_000)
				}
				x := newExchange(body)
				defer x.Release()
				ctx, cancel := context.WithCancel(context.Background())
				x.Context = ctx
				go func() { <-arrived; cancel() }() // ends with the request's arrival
				_, _, err := do(f, &Call{Upstream: upstreamOf(t, f, s.url), Method: "POST"}, x)
				require.Equal(t, ClientGone, kindOf(err), "%v", err)
			})
		}
	}
}

func TestConnectionLimit(t *testing.T) {
	release := make(chan struct{})
	var at, most atomic.Int64
	s := script(t, func(_ int64, _ *http.Request, c net.Conn) bool {
		n := at.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
		at.Add(-1)
		io.WriteString(c, fine)
		return true
	})
	f := newForwarder(t, Options{MaxConns: 3})
	u := upstreamOf(t, f, s.url)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { // owned by this test, which waits
			if _, body, err := get(f, u); err != nil || body != "ok" {
				t.Errorf("%q %v", body, err)
			}
		})
	}
	require.Eventually(t, func() bool {
		u.mu.Lock()
		defer u.mu.Unlock()
		return len(u.waiting) == 17 && at.Load() == 3
	}, 5*time.Second, time.Millisecond)
	close(release)
	wg.Wait()
	require.EqualValues(t, 3, most.Load())
	require.EqualValues(t, 3, s.connections.Load())
}

func TestBusyAndGoneWhileWaiting(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, 1)
	s := script(t, func(_ int64, _ *http.Request, c net.Conn) bool {
		arrived <- struct{}{}
		<-release
		io.WriteString(c, fine)
		return true
	})
	f := newForwarder(t, Options{MaxConns: 1, Connect: 100 * time.Millisecond})
	u := upstreamOf(t, f, s.url)
	first := make(chan error, 1)
	go func() { // the test takes what it brings
		_, _, err := get(f, u)
		first <- err
	}()
	<-arrived
	_, _, err := get(f, u)
	require.Equal(t, Busy, kindOf(err), "%v", err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	x := newExchange("")
	defer x.Release()
	x.Context = ctx
	_, _, err = do(f, &Call{Upstream: u}, x)
	require.Equal(t, ClientGone, kindOf(err), "%v", err)
	close(release)
	require.NoError(t, <-first)
	_, _, err = get(f, u)
	require.NoError(t, err)
	require.Empty(t, u.waiting)
}

func TestIdleConnectionsAndUpstreamsExpire(t *testing.T) {
	s := say(t, fine)
	f := newForwarder(t, Options{KeepIdle: 20 * time.Millisecond, MaxUpstreams: 1})
	u := upstreamOf(t, f, s.url)
	_, _, err := get(f, u)
	require.NoError(t, err)
	other := target(t, s.url)
	other.Computed = true
	_, err = f.Upstream(other)
	require.Equal(t, Busy, kindOf(err))
	known := func() (n, open int) {
		f.Connections(func(_ string, o, _ int) { n++; open += o })
		return n, open
	}
	require.Eventually(t, func() bool { n, open := known(); return n == 0 && open == 0 }, 5*time.Second, time.Millisecond)
	_, _, err = get(f, u) // who kept it may still use it
	require.NoError(t, err)
	n, open := known()
	require.Equal(t, []int{1, 1}, []int{n, open})
	f.Close()
	_, _, err = get(f, u)
	require.Equal(t, Closed, kindOf(err), "%v", err)
	_, err = f.Upstream(other)
	require.Equal(t, Closed, kindOf(err))
}

func TestObserve(t *testing.T) {
	var seen []string
	f := newForwarder(t, Options{Observe: func(upstream string, failure Kind, latency time.Duration) {
		seen = append(seen, fmt.Sprint(upstream, " ", failure, latency > 0))
	}})
	s := say(t, fine)
	u := upstreamOf(t, f, s.url)
	_, _, err := get(f, u)
	require.NoError(t, err)
	bad := say(t, "junk\r\n\r\n")
	_, _, err = get(f, upstreamOf(t, f, bad.url))
	require.Error(t, err)
	require.Equal(t, []string{s.url + " true", bad.url + " protocoltrue"}, seen)
}
