package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/wasmgate/wasmgate/host/internal/http1/cases"
)

// An oracle reads one request its own way: "method authority target", the values of
// each lower-case name, the body, and how many bytes it left. It is held only to what we accept.
type oracle func(raw []byte) (line string, fields map[string][]string, body string, rest int, err error)

func byNetHTTP(raw []byte) (line string, fields map[string][]string, body string, rest int, err error) {
	br := bufio.NewReaderSize(bytes.NewReader(raw), len(raw)+16)
	r, err := http.ReadRequest(br)
	if err != nil {
		return
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	fields = map[string][]string{}
	for name, values := range r.Header {
		fields[strings.ToLower(name)] = values
	}
	return r.Method + " " + strings.ToLower(r.Host) + " " + originForm(r.Method, r.RequestURI), fields, string(b), br.Buffered(), nil
}

func byFastHTTP(raw []byte) (line string, fields map[string][]string, body string, rest int, err error) {
	br := bufio.NewReaderSize(bytes.NewReader(raw), len(raw)+16)
	var r fasthttp.Request
	r.Header.DisableNormalizing()
	if err = r.Header.Read(br); err != nil {
		return
	}
	if err = r.ContinueReadBody(br, 0); err != nil {
		return
	}
	fields = map[string][]string{}
	for name, value := range r.Header.All() {
		lower := strings.ToLower(string(name))
		fields[lower] = append(fields[lower], string(value))
	}
	return string(r.Header.Method()) + " " + strings.ToLower(string(r.Header.Host())) + " " +
		originForm(string(r.Header.Method()), string(r.Header.RequestURI())), fields, string(r.Body()), br.Buffered(), nil
}

// originForm is a target without scheme and authority.
func originForm(method, target string) string {
	_, rest, absolute := strings.Cut(target, "://")
	if target[0] == '/' || target == "*" || !absolute {
		return target
	}
	at := strings.IndexAny(rest, "/?")
	switch {
	case at < 0 && method == "OPTIONS":
		return "*"
	case at < 0:
		return "/"
	case rest[at] == '?':
		return "/" + rest[at:]
	}
	return rest[at:]
}

// agree holds an oracle against what we read of raw.
func agree(t testing.TB, name string, read oracle, raw []byte, got seen) {
	t.Helper()
	line, fields, body, rest, err := read(raw)
	if err != nil {
		// What an oracle refuses, no upstream like it can misread.
		t.Logf("%s refuses what we accept: %v", name, err)
		return
	}
	authority, port, _ := strings.Cut(strings.Split(line, " ")[1], ":")
	if port == "" {
		line = strings.Replace(line, " "+authority+": ", " "+authority+" ", 1)
	}
	if line != got.line || body != got.body || rest != got.rest {
		t.Fatalf("%s reads %q body %q rest %d\n we read %q body %q rest %d", name, line, body, rest, got.line, got.body, got.rest)
	}
	ours := map[string][]string{}
	for _, f := range got.fields {
		name, value, _ := strings.Cut(f, ": ")
		ours[name] = append(ours[name], value)
	}
	for field, values := range ours {
		if field == "cookie" {
			continue // fasthttp keeps parsed cookies, not the field
		}
		if !slices.Equal(values, fields[field]) {
			t.Fatalf("%s reads %q: %q\n we read %q", name, field, fields[field], values)
		}
	}
}

func checkAgainstOracles(t testing.TB, raw []byte) {
	// Our reader changes its buffer; every reader gets the bytes with a tail that shows
	// where it ends the message.
	raw = append(slices.Clip(raw), canary...)
	got, err := readRequest(bytes.NewReader(raw))
	if err != nil {
		return
	}
	// What is still in the buffer is not all that is left.
	got.rest = len(raw) - consumed(t, raw)
	agree(t, "net/http", byNetHTTP, raw, got)
	agree(t, "fasthttp", byFastHTTP, raw, got)
}

const canary = "GET /canary HTTP/1.1\r\nHost: canary\r\n\r\n"

// consumed is how many bytes of raw the first request takes.
func consumed(t testing.TB, raw []byte) int {
	r := &counting{Reader: bytes.NewReader(raw)}
	got, err := readRequest(r)
	require.NoError(t, err)
	return r.n - got.rest
}

type counting struct {
	io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

func TestOraclesAgree(t *testing.T) {
	for _, c := range cases.Load("testdata/requests/*.txt") {
		if c.Status == 0 {
			t.Run(fmt.Sprint(c.File, "/", c.Name), func(t *testing.T) { checkAgainstOracles(t, c.Raw) })
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, c := range cases.Load("testdata/requests/*.txt") {
		if len(c.Raw) < 4096 {
			f.Add(c.Raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) { checkAgainstOracles(t, raw) })
}

// FuzzChunked: a body read in pieces of any size is the body read at once, or the same refusal.
func FuzzChunked(f *testing.F) {
	for _, c := range cases.Load("testdata/requests/chunked.txt") {
		if _, body, ok := bytes.Cut(c.Raw, []byte("\r\n\r\n")); ok && len(body) < 4096 {
			f.Add(body, uint8(3))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, step uint8) {
		raw := append([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), body...)
		whole, err := readRequest(bytes.NewReader(raw))
		pieces, err2 := readRequest(&stepped{raw, int(step)%17 + 1})
		if fmt.Sprint(err) != fmt.Sprint(err2) && !(isEOF(err) && err2 != nil || isEOF(err2) && err != nil) {
			t.Fatalf("at once: %v, in pieces: %v", err, err2)
		}
		if err == nil && (whole.body != pieces.body || !slices.Equal(whole.trailer, pieces.trailer)) {
			t.Fatalf("at once %q %q, in pieces %q %q", whole.body, whole.trailer, pieces.body, pieces.trailer)
		}
		if err == nil {
			checkAgainstOracles(t, raw)
		}
	})
}

func isEOF(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }

type stepped struct {
	rest []byte
	step int
}

func (s *stepped) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.rest[:min(len(s.rest), s.step)])
	s.rest = s.rest[n:]
	return n, nil
}

// FuzzResponse: an upstream's answer read in pieces is the answer read at once.
func FuzzResponse(f *testing.F) {
	for _, c := range cases.Load("testdata/responses/*.txt") {
		if len(c.Raw) < 4096 {
			f.Add(c.Raw, uint8(2))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, step uint8) {
		whole, err := readResponse(bytes.NewReader(raw), "GET")
		pieces, err2 := readResponse(&stepped{raw, int(step)%17 + 1}, "GET")
		if (err == nil) != (err2 == nil) {
			t.Fatalf("at once: %v, in pieces: %v", err, err2)
		}
		if whole.line != pieces.line || whole.body != pieces.body || !slices.Equal(whole.fields, pieces.fields) {
			t.Fatalf("at once %+v, in pieces %+v", whole, pieces)
		}
	})
}
