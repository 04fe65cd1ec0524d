package http2

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/problem"
)

// notes are the whole requests that a server saw, in words that are the same for
// [exchange.Exchange] and [http.Request].
type notes struct {
	mu  sync.Mutex
	all []string
}

func (n *notes) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, text)
}

func (n *notes) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := n.all
	n.all = nil
	return all
}

// lack is how many of want are not there.
func (n *notes) lack(want []string) (missing int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	there := slices.Clone(n.all)
	for _, w := range want {
		if i := slices.Index(there, w); i >= 0 {
			there = slices.Delete(there, i, i+1)
		} else {
			missing++
		}
	}
	return missing
}

// ServeExchange answers with what it notes.
func (n *notes) ServeExchange(x *exchange.Exchange) {
	if text, err := n.note(x); err != nil {
		problem.Write(x, err)
	} else {
		x.Response.Status = 200
		x.Response.SetBody([]byte(text))
	}
}

func (n *notes) note(x *exchange.Exchange) (string, error) {
	body, err := x.Full(1 << 20)
	if err != nil {
		return "", err
	}
	fields := map[string][]string{}
	for name, value := range x.Header.All() {
		fields[string(name)] = append(fields[string(name)], string(value))
	}
	target := x.Target
	if x.Query != "" || x.EmptyQuery {
		target += "?" + x.Query
	}
	text := written(x.Method, x.Authority, target, fields, body)
	n.add(text)
	return text, nil
}

// echo notes, and answers what a case's canary expects.
func (n *notes) echo(x *exchange.Exchange) {
	if _, err := n.note(x); err != nil {
		problem.Write(x, err)
		return
	}
	echo(x)
}

func written(method, authority, target string, fields map[string][]string, body []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\n", method, strings.TrimSuffix(strings.ToLower(authority), ":"), target)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		fmt.Fprintf(&b, "%s: %q\n", name, fields[name])
	}
	fmt.Fprintf(&b, "\n%q", body)
	return b.String()
}

// xnet is x/net's server, which notes the requests of each connection by themselves.
type xnet struct {
	addr  string
	conns sync.Map // of the client's address to *notes
}

func newOracle(t testing.TB) *xnet {
	o := &xnet{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	o.addr = l.Addr().String()
	// It starts no more handlers than that, and forgets the rest with the connection.
	server := &http2.Server{MaxConcurrentStreams: 1000}
	options := &http2.ServeConnOpts{Handler: http.HandlerFunc(o.serve), BaseConfig: &http.Server{ErrorLog: log.New(io.Discard, "", 0)}}
	var serving sync.WaitGroup
	serving.Go(func() { // ends with l; waited for below
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { server.ServeConn(conn, options) }) // ends a second behind GOAWAY, or with conn
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return o
}

// notes are those of the connection of a client.
func (o *xnet) notes(client string) *notes {
	n, _ := o.conns.LoadOrStore(client, &notes{})
	return n.(*notes)
}

// agree holds the requests that we made of what a client sent against what x/net makes of
// its whole frames. It is false where x/net ends the connection: there it is no oracle, but
// no upstream like it can misread either.
func (o *xnet) agree(t testing.TB, sent []byte, ours []string) bool {
	t.Helper()
	conn, err := net.Dial("tcp", o.addr)
	require.NoError(t, err)
	conn.(*net.TCPConn).SetLinger(0) // or ports run out
	conn.SetDeadline(time.Now().Add(patience))
	from := conn.LocalAddr().String()
	theirs := o.notes(from)
	sent = append(bytes.Clone(sent[:len(preface)+whole(sent[len(preface):])]), appendFrameHeader(nil, 8, framePing, 0, 0)...)
	var writing sync.WaitGroup
	writing.Go(func() { conn.Write(append(sent, "verdict?"...)) }) // ends with conn; waited for below
	defer func() {
		conn.Close()
		writing.Wait()
		o.conns.Delete(from)
	}()
	c := &client{Conn: conn, t: t}
	for resets := 0; ; {
		h, b, ok := c.nextQuietly()
		switch {
		case !ok, h.kind == frameGoAway:
			require.NotErrorIs(t, c.err, os.ErrDeadlineExceeded, "x/net waits behind %q", sent)
			return false
		case h.kind == frameRSTStream:
			resets++
		case h.kind == framePing && h.has(flagAck) && string(b) == "verdict?":
			for end := time.Now().Add(patience); theirs.lack(ours) > resets; runtime.Gosched() { // its handlers have goroutines of their own
				if time.Now().After(end) {
					t.Fatalf("x/net resets %d requests and reads %q\nwe read %q", resets, theirs.take(), ours)
				}
			}
			return true
		}
	}
}

// dropped are the fields that we take out of a request, or resolve.
var dropped = []string{"te", "trailer", "expect", "host", "content-length", "proxy-authenticate", "proxy-authorization",
	"proxy-authentication-info", "forwarded", "x-real-ip", "x-amzn-requestid", "x-amzn-request-id", "x-amzn-errortype"}

func (o *xnet) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	fields := map[string][]string{}
	for name, values := range r.Header {
		name = strings.ToLower(name)
		plain := strings.ReplaceAll(name, "_", "-")
		if name != plain && (slices.Contains(dropped, plain) || shadows(plain)) || slices.Contains(dropped, name) || ours(plain) {
			continue
		}
		fields[name] = append(fields[name], values...)
	}
	if err != nil {
		w.WriteHeader(400)
		return
	}
	text := written(r.Method, r.Host, r.RequestURI, fields, body)
	o.notes(r.RemoteAddr).add(text)
	io.WriteString(w, text)
}

func ours(name string) bool {
	for _, prefix := range []string{"x-forwarded-", "x-amzn-apigateway-", "x-amzn-oidc-", "x-amzn-mtls-", "x-amzn-vpc", "x-amzn-remapped-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// shadows tells whether a field spelled with _ hides behind one that means something.
func shadows(name string) bool {
	return slices.Contains([]string{"authorization", "cookie", "set-cookie", "content-type", "content-encoding", "content-range",
		"x-api-key", "x-amzn-trace-id", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "transfer-encoding",
		"connection", "keep-alive", "proxy-connection", "upgrade", "http2-settings"}, name)
}

// tape plays the case against a server and gives what it sent.
func (k *testCase) tape(t testing.TB, g *gate) []byte {
	conn, err := net.Dial("tcp", g.addr)
	require.NoError(t, err)
	r := &tape{Conn: conn}
	k.run(t, speak(t, r))
	g.settle(t)
	return r.sent.Bytes()
}

// tape records what is sent.
type tape struct {
	net.Conn
	sent bytes.Buffer
}

func (r *tape) Write(b []byte) (int, error) {
	r.sent.Write(b)
	return r.Conn.Write(b)
}

// TestOraclesAgree has x/net read every case of the corpus of which requests come.
func TestOraclesAgree(t *testing.T) {
	var seen notes
	g := start(t, handlerFunc(seen.echo), nil)
	oracle := newOracle(t)
	compared := 0
	for _, k := range loadCases(t) {
		t.Run(k.file+"/"+k.name, func(t *testing.T) {
			seen.take()
			sent := k.tape(t, g)
			if ours := seen.take(); len(ours) > 0 && oracle.agree(t, sent, ours) {
				compared++
			}
		})
	}
	require.Greater(t, compared, 150, "cases that x/net lets pass")
}
