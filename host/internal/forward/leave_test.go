package forward

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// leaver makes calls that their clients give up.
type leaver struct {
	t       *testing.T
	f       *Forwarder
	u       *Upstream
	arrived chan net.Conn // requests at the upstream, which does nothing by itself
}

func newLeaver(t *testing.T, o Options) *leaver {
	l := &leaver{t: t, arrived: make(chan net.Conn, 10)}
	done := make(chan struct{})
	s := script(t, func(_ int64, _ *http.Request, c net.Conn) bool {
		l.arrived <- c
		<-done
		return false
	})
	l.f = newForwarder(t, o)
	l.u = upstreamOf(t, l.f, s.url)
	t.Cleanup(func() { close(done) }) // before the upstream waits
	return l
}

// leave calls and gives up once the request has arrived; the connection is the upstream's end.
func (l *leaver) leave(timeout time.Duration) net.Conn {
	l.t.Helper()
	x := newExchange("")
	defer x.Release()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	x.Context = ctx
	arrived := make(chan net.Conn, 1)
	go func() { // ends with the arrival
		c := <-l.arrived
		cancel()
		arrived <- c
	}()
	_, _, err := do(l.f, &Call{Upstream: l.u, Timeout: timeout}, x)
	require.Equal(l.t, ClientGone, kindOf(err), "%v", err)
	return <-arrived
}

func (l *leaver) open() int {
	l.u.mu.Lock()
	defer l.u.mu.Unlock()
	return l.u.open
}

func (l *leaver) awaitNone() {
	l.t.Helper()
	require.Eventually(l.t, func() bool { return l.open() == 0 }, 5*time.Second, time.Millisecond)
	require.Empty(l.t, l.u.left)
}

// What the upstream still works on keeps its slot until the upstream lets go of it.
func TestLeftCallsKeepTheirSlots(t *testing.T) {
	l := newLeaver(t, Options{MaxConns: 2, Connect: 50 * time.Millisecond})
	first, second := l.leave(time.Hour), l.leave(time.Hour)
	for _, c := range []net.Conn{first, second} { // it is told, and may let go
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
	}
	require.Equal(t, 2, l.open())
	_, _, err := get(l.f, l.u)
	require.Equal(t, Busy, kindOf(err), "%v", err)
	require.Empty(t, l.arrived)
	first.Close()
	require.Eventually(t, func() bool { return l.open() == 1 }, 5*time.Second, time.Millisecond)
	third := l.leave(time.Hour)
	io.WriteString(second, "HTTP/1.1 200 OK\r\n") // an answer that begins will end
	_, err = io.Copy(io.Discard, second)
	if err != nil {
		require.ErrorContains(t, err, "reset")
	}
	third.Close()
	l.awaitNone()
}

func TestLeftCallsEnd(t *testing.T) {
	for name, end := range map[string]func(l *leaver){
		"by the call's time":  func(l *leaver) { l.leave(20 * time.Millisecond) },
		"with the Forwarder":  func(l *leaver) { l.leave(time.Hour); l.f.Close() },
		"by a reset":          func(l *leaver) { c := l.leave(time.Hour).(*net.TCPConn); c.SetLinger(0); c.Close() },
		"after the Forwarder": (*leaver).closeDuring,
	} {
		t.Run(name, func(t *testing.T) {
			l := newLeaver(t, Options{})
			end(l)
			l.awaitNone()
		})
	}
}

// closeDuring closes the Forwarder while a call is at the upstream, which is then left.
func (l *leaver) closeDuring() {
	x := newExchange("")
	defer x.Release()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	x.Context = ctx
	go func() { // ends with the arrival
		<-l.arrived
		l.f.Close()
		cancel()
	}()
	_, _, err := do(l.f, &Call{Upstream: l.u, Timeout: time.Hour}, x)
	require.Equal(l.t, ClientGone, kindOf(err), "%v", err)
}

// owed is a body of which the client has sent a part.
type owed struct{ sent bool }

func (s *owed) Read(p []byte) (int, error) {
	if s.sent {
		return 0, context.DeadlineExceeded
	}
	s.sent = true
	return copy(p, strings.Repeat("x", 100)), nil
}

// A request whose body never comes is left, too; one of which nothing is out holds nothing.
func TestStalledBodiesKeepTheirSlots(t *testing.T) {
	l := newLeaver(t, Options{})
	x := newExchange("")
	defer x.Release()
	x.Body, x.BodyLength = &owed{}, 1_000_000
	_, _, err := do(l.f, &Call{Upstream: l.u, Method: "POST"}, x)
	require.Equal(t, RequestBody, kindOf(err), "%v", err)
	c := <-l.arrived
	require.Equal(t, 1, l.open())
	c.Close()
	l.awaitNone()

	y := newExchange("")
	defer y.Release()
	y.Body, y.BodyLength = &owed{}, 1000
	_, _, err = do(l.f, &Call{Upstream: l.u, Method: "POST"}, y)
	require.Equal(t, RequestBody, kindOf(err), "%v", err)
	require.Zero(t, l.open())
}

// Over TLS an upstream is told in TLS, which net/http takes for the end of its client.
func TestLeftCallOverTLS(t *testing.T) {
	arrived, noticed, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(noticed)
		<-release
	}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	l := &leaver{t: t, f: newForwarder(t, Options{Roots: roots})}
	l.u = upstreamOf(t, l.f, server.URL)
	x := newExchange("")
	defer x.Release()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	x.Context = ctx
	go func() { // ends with the arrival
		<-arrived
		cancel()
	}()
	_, _, err := do(l.f, &Call{Upstream: l.u, Timeout: time.Hour}, x)
	require.Equal(t, ClientGone, kindOf(err), "%v", err)
	<-noticed
	require.Equal(t, 1, l.open())
	close(release)
	l.awaitNone()
}
