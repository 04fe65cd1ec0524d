package http1

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

func header(fields ...string) *exchange.Header {
	var h exchange.Header
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return &h
}

func TestRequestHead(t *testing.T) {
	for _, k := range []struct {
		head RequestHead
		want string
	}{
		{RequestHead{Method: "GET", Path: "/a%2F", Query: "b=c|d", Authority: "a:80", Header: header("x", "y")},
			"GET /a%2F?b=c|d HTTP/1.1\r\nhost: a:80\r\nx: y\r\n\r\n"},
		{RequestHead{Method: "POST", Path: "/", Authority: "a", Header: header()},
			"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"},
		{RequestHead{Method: "POST", Path: "/", Authority: "a", Header: header(), Framing: Fixed, Length: 7, Close: true},
			"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\nconnection: close\r\n\r\n"},
		{RequestHead{Method: "PUT", Path: "/", Authority: "[::1]:80", Header: header(), Framing: Chunked},
			"PUT / HTTP/1.1\r\nhost: [::1]:80\r\ntransfer-encoding: chunked\r\n\r\n"},
		{RequestHead{Method: "OPTIONS", Path: "*", Authority: "a", Header: header("Host", "b", "Content-Length", "9", "CONNECTION", "close",
			"transfer-encoding", "x", "keep-alive", "x", "te", "x", "upgrade", "x", "X-Kept", "1")},
			"OPTIONS * HTTP/1.1\r\nhost: a\r\nx-kept: 1\r\n\r\n"},
	} {
		got, err := k.head.Append([]byte("before "))
		require.NoError(t, err)
		require.Equal(t, "before "+k.want, string(got))
	}
	for _, bad := range []RequestHead{
		{Method: "G T", Path: "/", Authority: "a"}, {Method: "", Path: "/", Authority: "a"},
		{Method: "GET", Path: "", Authority: "a"}, {Method: "GET", Path: "a", Authority: "a"},
		{Method: "GET", Path: "/ HTTP/1.1\r\nX: ", Authority: "a"}, {Method: "GET", Path: "/?", Authority: "a"},
		{Method: "GET", Path: "/", Query: "a b", Authority: "a"}, {Method: "GET", Path: "/", Query: "a#b", Authority: "a"},
		{Method: "GET", Path: "*", Authority: "a"}, {Method: "GET", Path: "/", Authority: ""},
		{Method: "GET", Path: "/", Authority: "a\r\nX: b"}, {Method: "GET", Path: "/", Authority: "u@a"},
		{Method: "GET", Path: "/", Authority: "A"}, {Method: "GET", Path: "/", Authority: strings.Repeat("a", 300)},
		{Method: "GET", Path: "/", Authority: "a", Header: header("x", "a\r\nb: c")},
		{Method: "GET", Path: "/", Authority: "a", Header: header("x\r\ny", "a")},
		{Method: "GET", Path: "/", Authority: "a", Header: header("", "a")},
	} {
		if bad.Header == nil {
			bad.Header = header()
		}
		got, err := bad.Append([]byte("before"))
		require.Equal(t, ErrUnwritable, err, "%+v", bad)
		require.Equal(t, "before", string(got))
	}
}

func TestResponseHead(t *testing.T) {
	h := ResponseHead{Status: 200, Header: header("a", "1"), Framing: Fixed, Length: 3, Connection: "close", Date: "D"}
	got, err := h.Append(nil)
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 200 OK\r\na: 1\r\ndate: D\r\ncontent-length: 3\r\nconnection: close\r\n\r\n", string(got))
	h = ResponseHead{Status: 503, Header: header("date", "theirs"), Framing: Chunked, Date: "D"}
	got, err = h.Append(nil)
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 503 Service Unavailable\r\ndate: theirs\r\ntransfer-encoding: chunked\r\n\r\n", string(got))
	h.Status = 1000
	_, err = h.Append(nil)
	require.Equal(t, ErrUnwritable, err)
}

func TestLastChunk(t *testing.T) {
	got, err := AppendLastChunk(AppendChunk(AppendChunk(nil, nil), []byte("0123456789abcdef0")), header("x-a", "1", "content-length", "5", "host", "a"))
	require.NoError(t, err)
	require.Equal(t, "11\r\n0123456789abcdef0\r\n0\r\nx-a: 1\r\n\r\n", string(got))
	_, err = AppendLastChunk(nil, header("x-a", "1\r\n\r\nHTTP/1.1"))
	require.Equal(t, ErrUnwritable, err)
}

// Whatever is written is read back as the same one request, or not written.
func TestWrittenRequestsAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ -~\r\n\t\x00\x7f\x80]{0,12}`)
		h := header()
		for range rapid.IntRange(0, 4).Draw(t, "fields") {
			h.Add(rapid.OneOf(text, rapid.StringMatching(`[a-z-]{1,9}`)).Draw(t, "name"), text.Draw(t, "value"))
		}
		head := RequestHead{
			Method:    rapid.OneOf(text, rapid.SampledFrom([]string{"GET", "POST"})).Draw(t, "method"),
			Path:      rapid.OneOf(text, rapid.StringMatching(`/[!-~]{0,9}`)).Draw(t, "path"),
			Query:     rapid.OneOf(text, rapid.StringMatching(`[!-~]{0,9}`)).Draw(t, "query"),
			Authority: rapid.OneOf(text, rapid.StringMatching(`[a-z.]{1,9}(:[0-9]{1,4})?`)).Draw(t, "authority"),
			Header:    h,
		}
		raw, err := head.Append(nil)
		if err != nil {
			if len(raw) != 0 {
				t.Fatalf("error with output %q", raw)
			}
			return
		}
		got, err := readRequest(strings.NewReader(string(raw)))
		if err != nil {
			var known = map[error]bool{errConnect: true, errTrace: true, errExpect: true}
			if known[err] {
				return
			}
			t.Fatalf("read %q: %v", raw, err)
		}
		line := head.Method + " " + head.Authority + " " + head.Path
		if head.Query != "" {
			line += "?" + head.Query
		}
		if got.line != line || got.rest != 0 {
			t.Fatalf("read %q, want %q, of %q with %d bytes left", got.line, line, raw, got.rest)
		}
	})
}
