package http2

import (
	"bytes"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2/hpack"
)

// FuzzFrames sends any bytes behind preface and SETTINGS: the server must survive them,
// end the connection or answer, and make of the requests that it takes what x/net makes of them.
func FuzzFrames(f *testing.F) {
	var seen notes
	g := start(f, handlerFunc(seen.echo), nil)
	oracle := newOracle(f)
	greeting := appendFrameHeader([]byte(preface), 0, frameSettings, 0, 0)
	for _, k := range loadCases(f) {
		if b, ok := bytes.CutPrefix(k.tape(f, g), greeting); ok && len(b) < 4096 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		seen.take()
		sent := append(bytes.Clone(greeting), b...)
		conn, err := net.Dial("tcp", g.addr)
		require.NoError(t, err)
		defer conn.Close()
		conn.(*net.TCPConn).SetLinger(0) // or ports run out
		conn.SetDeadline(time.Now().Add(patience))
		conn.Write(sent)
		conn.(*net.TCPConn).CloseWrite()
		answer, _ := io.ReadAll(conn)
		require.Zero(t, len(answer)-whole(answer), "what the server sends are whole frames")
		g.settle(t)
		if ours := seen.take(); len(ours) > 0 {
			oracle.agree(t, sent, ours)
		}
	})
}

// whole is how many bytes of b are whole frames.
func whole(b []byte) (n int) {
	for len(b)-n >= headerSize {
		size := headerSize + parseFrameHeader(b[n:]).length
		if len(b)-n < size {
			break
		}
		n += size
	}
	return n
}

// FuzzRequest holds requests that are accepted against what x/net's server makes of them:
// method, authority, target, fields and body must be the same.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "a", "/x?y=z", "accept", "b", "", "", "")
	f.Add("POST", "A:1", "/%2f", "content-length", "3", "cookie", "a=b", "abc")
	f.Add("POST", "a", "/", "cookie", "c=d", "cookie", "a=b", "abc")
	f.Add("OPTIONS", "[::1]", "*", "te", "trailers", "host", "[::1]", "")
	f.Add("PUT", "a", "//b/..;/c?d|e", "x-y_z", "\x80\tq", "expect", "100-continue", "x")
	var seen notes
	g := start(f, &seen, nil)
	oracle := newOracle(f)
	f.Fuzz(func(t *testing.T, method, authority, path, name1, value1, name2, value2, body string) {
		fields := []string{":method", method, ":scheme", "https", ":authority", authority, ":path", path}
		for _, f := range [][2]string{{name1, value1}, {name2, value2}} {
			if f[0] != "" {
				fields = append(fields, f[0], f[1])
			}
		}
		ours, ok := ask(t, g.addr, fields, body)
		seen.take()
		if !ok {
			return
		}
		theirs, ok := ask(t, oracle.addr, fields, body)
		require.True(t, ok, "the oracle refuses what we accept: %q %q", fields, body)
		require.Equal(t, theirs, ours)
	})
}

// ask sends a request on a connection of its own: the body of its answer, if that is 200.
func ask(t testing.TB, addr string, fields []string, body string) (answer string, ok bool) {
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	conn.(*net.TCPConn).SetLinger(0) // or ports run out
	conn.SetDeadline(time.Now().Add(patience))
	c := &client{Conn: conn, t: t, dec: hpack.NewDecoder(4096, nil)}
	c.enc = hpack.NewEncoder(&c.buf)
	head := c.encode(fields...)
	if len(head) > maxFrame || len(body) > maxFrame {
		return "", false
	}
	const window = 1 << 24 // for the largest answer
	settings := appendSetting(nil, 4, window)
	b := append(appendFrameHeader([]byte(preface), len(settings), frameSettings, 0, 0), settings...)
	b = appendWindowUpdate(b, 0, window)
	flags := uint8(flagEndHeaders)
	if body == "" {
		flags |= flagEndStream
	}
	b = append(appendFrameHeader(b, len(head), frameHeaders, flags, 1), head...)
	if body != "" {
		b = append(appendFrameHeader(b, len(body), frameData, flagEndStream, 1), body...)
	}
	conn.Write(b)
	for {
		h, b, more := c.nextQuietly()
		switch {
		case !more:
			require.NotErrorIs(t, c.err, os.ErrDeadlineExceeded, "nobody answers %q %q", fields, body)
			return "", false
		case h.kind == frameRSTStream || h.kind == frameGoAway:
			return "", false
		case h.kind == frameHeaders:
			fields, err := c.dec.DecodeFull(b)
			require.NoError(t, err)
			ok = fields[0].Value == "200"
		case h.kind == frameData:
			answer += string(b)
		}
		if h.stream == 1 && h.has(flagEndStream) {
			return answer, ok
		}
	}
}
