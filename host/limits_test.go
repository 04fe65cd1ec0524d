package host_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

const tight = `log: {access: {enabled: false}}
limits: {header_count: 20, header_bytes: 2KiB, url_bytes: 256, body_bytes: 1000, streams: 3}
timeouts: {hello: 2s, head: 1s, body: 1s, write: 1s, idle: 2s, shutdown: 5s}
`

// limited is what a client does beyond a limit, what it gets, and what is counted.
type limited struct {
	send   func(t *testing.T, g *gateway) (got string)
	want   string
	reason string // empty is none
}

// over1 sends bytes over HTTP/1.1, and then drips what follows, a byte at a time; got is
// the status, or "closed", and the connection has ended behind it.
func over1(first, drips string) func(*testing.T, *gateway) string {
	return func(t *testing.T, g *gateway) string {
		c := g.dialTLS(t)
		_, err := io.WriteString(c, first)
		require.NoError(t, err)
		dripped := c.drip(drips)
		defer func() { <-dripped }()
		resp, _, err := c.receive("GET")
		if err != nil {
			return "closed"
		}
		if _, err = c.br.ReadByte(); err == nil || isTimeout(err) {
			return fmt.Sprint(resp.StatusCode, " and goes on")
		}
		return fmt.Sprint(resp.StatusCode)
	}
}

// drip sends a byte after the other, until that fails or they are out.
func (r *raw) drip(bytes string) (done chan struct{}) {
	done = make(chan struct{})
	go func() { // waited for by who asked
		defer close(done)
		for i := range bytes {
			<-time.After(40 * time.Millisecond)
			if _, err := io.WriteString(r, bytes[i:i+1]); err != nil {
				return
			}
		}
	}()
	return done
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// over2 is what ends stream 1, or the connection, after send.
func over2(send func(f *framed)) func(*testing.T, *gateway) string {
	return func(t *testing.T, g *gateway) string {
		f := g.dialFramed(t)
		send(f)
		return f.outcome(1)
	}
}

// outcome is the status of the answer on stream, or what ended it or the connection.
func (f *framed) outcome(stream uint32) string {
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return "closed"
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			if frame.StreamID == stream {
				return frame.PseudoValue("status")
			}
		case *http2.RSTStreamFrame:
			if frame.StreamID == stream {
				return frame.ErrCode.String()
			}
		case *http2.GoAwayFrame:
			return "GOAWAY " + frame.ErrCode.String()
		}
	}
}

// overTCP sends bytes that finish no handshake.
func overTCP(bytes string) func(*testing.T, *gateway) string {
	return func(t *testing.T, g *gateway) string {
		c, err := net.Dial("tcp", g.https)
		require.NoError(t, err)
		defer c.Close()
		_, err = io.WriteString(c, bytes)
		require.NoError(t, err)
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err = io.Copy(io.Discard, c); isTimeout(err) {
			return "open"
		}
		return "closed"
	}
}

const post = "POST /x HTTP/1.1\r\nHost: api.execute-api.localhost\r\n"

// block is the header block of a request with these fields.
func (f *framed) block(fields ...string) []byte {
	var out bytes.Buffer
	whole := f.Framer
	f.Framer = http2.NewFramer(&out, nil)
	f.request(1, true, "GET", "/x", fields...)
	f.Framer = whole
	return out.Bytes()[9:]
}

func many(n int) (fields []string) {
	for i := range n {
		fields = append(fields, fmt.Sprintf("x-%d: y", i))
	}
	return fields
}

// The limits of a head and a body.
var limitedSizes = map[string]limited{
	"HTTP/1.1 fields": {over1("GET /x HTTP/1.1\r\nHost: api.execute-api.localhost\r\n"+strings.Join(many(20), "\r\n")+"\r\n\r\n", ""), "431", "too many fields"},
	"HTTP/1.1 head":   {over1("GET /x HTTP/1.1\r\nHost: api.execute-api.localhost\r\nX: "+strings.Repeat("x", 2048)+"\r\n\r\n", ""), "431", "head is too large"},
	"HTTP/1.1 target": {over1("GET /"+strings.Repeat("x", 256)+" HTTP/1.1\r\nHost: api.execute-api.localhost\r\n\r\n", ""), "414", "target is too long"},
	"HTTP/1.1 body":   {over1(post+"Content-Length: 1001\r\n\r\n", ""), "413", "body is too large"},
	"HTTP/1.1 chunks": {over1(post+"Transfer-Encoding: chunked\r\n\r\n3e9\r\n"+strings.Repeat("x", 1001)+"\r\n0\r\n\r\n", ""), "413", "body is too large"},
	"HTTP/2 fields":   {over2(func(f *framed) { f.request(1, true, "GET", "/x", many(21)...) }), "431", "too many fields"},
	"HTTP/2 head":     {over2(func(f *framed) { f.request(1, true, "GET", "/x", "x: "+strings.Repeat("x", 2048)) }), "431", "head is too large"},
	"HTTP/2 target":   {over2(func(f *framed) { f.request(1, true, "GET", "/"+strings.Repeat("x", 256)) }), "414", "target is too long"},
	"HTTP/2 body":     {over2(func(f *framed) { f.request(1, false, "POST", "/x", "content-length: 1001") }), "413", "body is too large"},
	"HTTP/2 DATA": {over2(func(f *framed) {
		f.request(1, false, "POST", "/x")
		f.WriteData(1, true, make([]byte, 1001))
	}), "413", "body is too large"},
	"HTTP/2 streams": {func(t *testing.T, g *gateway) string {
		f := g.dialFramed(t)
		for id := uint32(1); id <= 7; id += 2 {
			f.request(id, true, "GET", "/never")
		}
		return f.outcome(7)
	}, "REFUSED_STREAM", "too many streams"},
}

// The time limits, each for who sends nothing and who sends too little.
var limitedTimes = map[string]limited{
	"hello":               {overTCP("\x16\x03\x01"), "closed", "TLS handshake is too slow"},
	"no hello":            {overTCP(""), "closed", "TLS handshake is too slow"},
	"HTTP/1.1 head":       {over1("G", ""), "408", "head is too slow"},
	"HTTP/1.1 head, drip": {over1("GET / HTTP/1.1\r\n", strings.Repeat("x", 1000)), "408", "head is too slow"},
	"HTTP/1.1 body":       {over1(post+"Content-Length: 10\r\n\r\nabc", ""), "408", "body is too slow"},
	"HTTP/1.1 chunks":     {over1(post+"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", ""), "408", "body is too slow"},
	"HTTP/1.1 trailers":   {over1(post+"Transfer-Encoding: chunked\r\n\r\n0\r\nx: ", ""), "408", "body is too slow"},
	"HTTP/1.1 answer": {func(t *testing.T, g *gateway) string {
		c := g.dialTLS(t)
		_, err := io.WriteString(c, "GET /large HTTP/1.1\r\nHost: api.execute-api.localhost\r\n\r\n")
		require.NoError(t, err)
		<-c.drip(strings.Repeat("x", 1000)) // and reads nothing
		if _, err := io.Copy(io.Discard, c); err == nil || isTimeout(err) {
			return "whole"
		}
		return "cut off"
	}, "cut off", "answer is read too slowly"},
	"HTTP/1.1 idle": {func(t *testing.T, g *gateway) string {
		c := g.dialTLS(t)
		if _, err := c.br.ReadByte(); err == io.EOF {
			return "closed"
		}
		return "open"
	}, "closed", ""},
	"HTTP/2 no preface": {func(t *testing.T, g *gateway) string {
		c, err := tls.Dial("tcp", g.https, &tls.Config{RootCAs: g.roots, ServerName: "localhost", NextProtos: []string{"h2"}})
		require.NoError(t, err)
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		return (&framed{Framer: http2.NewFramer(c, c), t: t, c: c}).outcome(1)
	}, "GOAWAY ENHANCE_YOUR_CALM", "head is too slow"},
	"HTTP/2 head without its end": {over2(func(f *framed) {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block()})
	}), "GOAWAY ENHANCE_YOUR_CALM", "head is too slow"},
	"HTTP/2 half a frame": {over2(func(f *framed) { f.c.Write([]byte{0, 0, 100, 1, 4}) }), "GOAWAY ENHANCE_YOUR_CALM", "head is too slow"},
	"HTTP/2 CONTINUATION, drip": {over2(func(f *framed) {
		block := f.block(many(15)...)
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:1]})
		for i := 1; i < len(block)-1 && f.WriteContinuation(1, false, block[i:i+1]) == nil; i++ {
			<-time.After(40 * time.Millisecond)
		}
	}), "GOAWAY ENHANCE_YOUR_CALM", "head is too slow"},
	"HTTP/2 body": {over2(func(f *framed) {
		f.request(1, false, "POST", "/x")
		f.WriteData(1, false, []byte("abc"))
	}), "408", "body is too slow"},
	"HTTP/2 body announced to be none": {over2(func(f *framed) { f.request(1, false, "POST", "/x", "content-length: 0") }), "CANCEL", "body is too slow"},
	"HTTP/2 answer, window shut": {over2(func(f *framed) {
		f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		f.request(1, true, "GET", "/large")
		f.outcome(1) // its head
	}), "CANCEL", "answer is read too slowly"},
	"HTTP/2 idle": {over2(func(*framed) {}), "GOAWAY NO_ERROR", ""},
}

func (g *gateway) refusals(reason string) int {
	return int(g.metric("wasmgate_refused_total", `reason="`+reason+`"`))
}

// startLimited serves what never ends, what is large, and bodies' lengths.
func startLimited(t *testing.T) *gateway {
	t.Helper()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/never":
			<-r.Context().Done()
		case "/large":
			w.Write(make([]byte, 8<<20))
		default:
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, "took ", n)
		}
	}))
	t.Cleanup(up.Close)
	return start(t, files{"wasmgate.yaml": tight, "apis/a.yaml": passing(up.URL)})
}

// TestLimits goes beyond every limit that the process file sets for clients: each gets the
// exact answer, and the metric says why. Who stays within them is served beside.
func TestLimits(t *testing.T) {
	g := startLimited(t)
	counts, got, want := map[string]int{}, map[string]string{}, map[string]string{}
	var mu sync.Mutex
	var running sync.WaitGroup
	for kind, cases := range map[string]map[string]limited{"size ": limitedSizes, "time ": limitedTimes} {
		for name, k := range cases {
			want[kind+name] = k.want
			if k.reason != "" {
				counts[k.reason]++
			}
			running.Go(func() { // all at once, since most of them wait
				outcome := k.send(t, g)
				mu.Lock()
				defer mu.Unlock()
				got[kind+name] = outcome
			})
		}
	}
	running.Wait()
	require.Equal(t, want, got)
	for reason, n := range counts {
		await(t, fmt.Sprint(n, " times ", reason), func() bool { return g.refusals(reason) >= n })
		require.Equal(t, n, g.refusals(reason), reason)
	}
	g.each(t, func(t *testing.T, c *http.Client) {
		url := "https://api.execute-api.localhost/" + strings.Repeat("x", 255)
		require.Equal(t, "took 1000", send(t, c, "POST", url, strings.Repeat("x", 1000), many(15)...).body)
	})
}

// TestConnectionLimits changes the limits of connections in the running gateway: what is too
// many is closed and counted, and one that ends makes room.
func TestConnectionLimits(t *testing.T) {
	g := startLimited(t)
	for limit, reason := range map[string]string{
		"connections: 2":             "too many connections",
		"connections_per_address: 2": "too many connections from one address",
	} {
		t.Run(reason, func(t *testing.T) {
			g.update(files{"wasmgate.yaml": process("log: {access: {enabled: false}}\nlimits: {" + limit + "}\n")})
			g.https, _, _ = g.Addresses()
			dial := func() (*tls.Conn, error) {
				return tls.Dial("tcp", g.https, &tls.Config{RootCAs: g.roots, ServerName: "localhost"})
			}
			first, err := dial()
			require.NoError(t, err)
			second, err := dial()
			require.NoError(t, err)
			defer second.Close()
			_, err = dial()
			require.Error(t, err)
			require.Equal(t, 1, g.refusals(reason))
			first.Close()
			await(t, "room", func() bool {
				third, err := dial()
				if err == nil {
					third.Close()
				}
				return err == nil
			})
		})
	}
}
