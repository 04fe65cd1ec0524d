package host_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// refuser is an upstream that answers as soon as it has the head of a request with a body,
// and then reads the body; others get a canary.
func refuser(t testing.TB, answer string) *player {
	return playRaw(t, func(p *player, number int, c net.Conn) {
		br := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			p.note(asked{req.Method + " " + req.RequestURI + " ", number})
			if req.ContentLength != 0 {
				io.WriteString(c, answer)
				if _, err := io.Copy(io.Discard, req.Body); err != nil {
					return
				}
				continue
			}
			if _, err := io.WriteString(c, upstreamCanary); err != nil {
				return
			}
		}
	})
}

var earlyAnswers = map[string]struct {
	answer, body string
	status       int
}{
	"401":          {"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno", "no", 401},
	"413 closing":  {"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlong", "long", 413},
	"200 chunked":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok", 200},
	"204":          {"HTTP/1.1 204 No Content\r\n\r\n", "", 204},
	"long":         {"HTTP/1.1 403 Forbidden\r\nContent-Length: 50000\r\n\r\n" + strings.Repeat("x", 50_000), strings.Repeat("x", 50_000), 403},
	"after a hint": {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", "no", 401},
	"no answer":    {"SSH-2.0-OpenSSH_9.2\r\n", "", 502},
}

// An answer that comes while the client owes most of its body, and does not go on with it,
// goes out at once (RFC 9110 10.1.1, RFC 9112 9.5): in HTTP/1.1 as the last of its connection.
func TestEarlyAnswerHTTP1(t *testing.T) {
	for name, tt := range earlyAnswers {
		t.Run(name, func(t *testing.T) {
			up := refuser(t, tt.answer)
			g := start(t, files{"apis/a.yaml": passing(up.url)})
			for _, framing := range []string{"Content-Length: 1000000\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
				"Transfer-Encoding: chunked\r\n\r\nfff\r\nabc", "Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n"} {
				c := g.dialTLS(t)
				_, err := io.WriteString(c, "POST /x HTTP/1.1\r\nHost: api.execute-api.localhost\r\n"+framing)
				require.NoError(t, err)
				resp, body, err := c.receive("POST")
				require.NoError(t, err)
				require.Equal(t, tt.status, resp.StatusCode)
				if tt.status != 502 {
					require.Equal(t, tt.body, body)
				}
				require.True(t, resp.Close, "the client may still send")
				_, err = io.WriteString(c, "def") // and is not cut off before it has read the answer
				require.NoError(t, err)
				rest, err := io.ReadAll(c.br)
				require.NoError(t, err)
				require.Empty(t, string(rest))
				c.Close()
				require.Equal(t, "canary", get(t, g.h1, site+"/canary").body)
				seen := up.take()
				require.Len(t, seen, 2)
				require.NotEqual(t, seen[0].connection, seen[1].connection, "the upstream's connection was used again")
			}
		})
	}
}

// framed is an HTTP/2 client that shows frames.
type framed struct {
	*http2.Framer
	t   testing.TB
	c   *tls.Conn
	enc *hpack.Encoder
	buf bytes.Buffer
}

func (g *gateway) dialFramed(t testing.TB) *framed {
	t.Helper()
	c, err := tls.Dial("tcp", g.https, &tls.Config{RootCAs: g.roots, ServerName: "localhost", NextProtos: []string{"h2"}})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	f := &framed{Framer: http2.NewFramer(c, c), t: t, c: c}
	f.enc = hpack.NewEncoder(&f.buf)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err = io.WriteString(c, http2.ClientPreface)
	require.NoError(t, err)
	require.NoError(t, f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}))
	require.NoError(t, f.WriteWindowUpdate(0, 1<<20))
	return f
}

// request sends a head.
func (f *framed) request(stream uint32, end bool, method, path string, fields ...string) {
	f.t.Helper()
	f.buf.Reset()
	for _, field := range append([]string{":method: " + method, ":scheme: https", ":authority: api.execute-api.localhost", ":path: " + path}, fields...) {
		name, value, _ := strings.Cut(field[1:], ": ")
		require.NoError(f.t, f.enc.WriteField(hpack.HeaderField{Name: field[:1] + name, Value: value}))
	}
	require.NoError(f.t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.buf.Bytes(), EndStream: end, EndHeaders: true}))
}

// events are what comes on stream up to its end, and up to a reset behind it when reset
// says so; with the body.
func (f *framed) events(stream uint32, reset bool) (list []string, body string) {
	f.t.Helper()
	for {
		frame, err := f.ReadFrame()
		require.NoError(f.t, err, "after %q", list)
		if frame.Header().StreamID != stream {
			if _, ok := frame.(*http2.GoAwayFrame); ok {
				f.t.Fatalf("%v after %q", frame, list)
			}
			continue
		}
		end := frame.Header().Flags.Has(http2.FlagDataEndStream)
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			list = append(list, frame.PseudoValue("status"))
		case *http2.DataFrame:
			body += string(frame.Data())
		case *http2.RSTStreamFrame:
			return append(list, "reset "+frame.ErrCode.String()), body
		}
		if _, update := frame.(*http2.WindowUpdateFrame); end && !update {
			if list = append(list, "end"); !reset {
				return list, body
			}
		}
	}
}

// In HTTP/2 the answer is whole, then the client is told to stop (RFC 9113 8.1), and the
// connection serves on.
func TestEarlyAnswerHTTP2(t *testing.T) {
	for name, tt := range earlyAnswers {
		t.Run(name, func(t *testing.T) {
			up := refuser(t, tt.answer)
			g := start(t, files{"apis/a.yaml": passing(up.url)})
			f := g.dialFramed(t)
			for i, fields := range [][]string{{"content-length: 1000000"}, {"x: y"}, {"expect: 100-continue", "content-length: 1000000"}} {
				id := uint32(4*i + 1)
				f.request(id, false, "POST", "/x", fields...)
				if len(fields) == 1 {
					require.NoError(t, f.WriteData(id, false, []byte("abc")))
				}
				events, body := f.events(id, true)
				for len(events) > 0 && events[0][0] == '1' {
					events = events[1:]
				}
				require.Equal(t, []string{fmt.Sprint(tt.status), "end", "reset NO_ERROR"}, events)
				if tt.status != 502 {
					require.Equal(t, tt.body, body)
				}
				require.NoError(t, f.WriteData(id, false, []byte("what was on its way")))
				f.request(id+2, true, "GET", "/canary")
				events, body = f.events(id+2, false)
				require.Equal(t, []string{"200", "end"}, events)
				require.Equal(t, "canary", body)
				seen := up.take()
				require.Len(t, seen, 2)
				require.NotEqual(t, seen[0].connection, seen[1].connection, "the upstream's connection was used again")
			}
		})
	}
}

// A client that goes on with a long body gets the answer, too.
func TestEarlyAnswerToBusyClient(t *testing.T) {
	up := refuser(t, earlyAnswers["401"].answer)
	g := start(t, files{"apis/a.yaml": passing(up.url)})
	g.each(t, func(t *testing.T, c *http.Client) {
		for range 20 {
			req, err := http.NewRequestWithContext(t.Context(), "POST", site+"/x", io.LimitReader(endless{}, 200_000))
			require.NoError(t, err)
			a := do(t, c, req)
			require.Equal(t, 401, a.StatusCode)
			require.Equal(t, "no", a.body)
			require.Equal(t, "canary", get(t, c, site+"/canary").body)
		}
	})
}

// endless is a body without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// A connection to the upstream that ends while the client owes its body is told at once, too.
func TestUpstreamEndsDuringUpload(t *testing.T) {
	up := playRaw(t, func(_ *player, _ int, c net.Conn) {
		br := bufio.NewReader(c)
		if req, err := http.ReadRequest(br); err == nil {
			io.ReadFull(req.Body, make([]byte, 3))
		}
	})
	g := start(t, files{"apis/a.yaml": passing(up.url)})
	c := g.dialTLS(t)
	_, err := io.WriteString(c, "POST /x HTTP/1.1\r\nHost: api.execute-api.localhost\r\nContent-Length: 1000000\r\n\r\nabc")
	require.NoError(t, err)
	resp, _, err := c.receive("POST")
	require.NoError(t, err)
	require.Equal(t, 504, resp.StatusCode)
	f := g.dialFramed(t)
	f.request(1, false, "POST", "/x")
	require.NoError(t, f.WriteData(1, false, []byte("abc")))
	events, _ := f.events(1, true)
	require.Equal(t, []string{"504", "end", "reset NO_ERROR"}, events)
}
