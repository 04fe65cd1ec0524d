package host_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/http1/cases"
)

// recorder is an upstream that keeps the bytes of each request and understands only what a
// canonical client writes: anything else is kept as broken.
type recorder struct {
	url string

	mu     sync.Mutex
	whole  []string
	broken []string // the beginning of a request whose end never came, or what is not canonical
}

func record(t testing.TB) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &recorder{url: "http://" + l.Addr().String()}
	var serving sync.WaitGroup
	serving.Go(func() { // ends when l is closed; waited for below
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { r.serve(c) }) // ends when the gateway closes c, after a minute at most
		}
	})
	t.Cleanup(func() { // after the gateway's, which started later
		l.Close()
		serving.Wait()
	})
	return r
}

func (r *recorder) serve(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	br := bufio.NewReader(c)
	for {
		request, err := readCanonical(br)
		r.mu.Lock()
		if err == nil {
			r.whole = append(r.whole, request)
		} else if request != "" {
			r.broken = append(r.broken, request+"\n"+err.Error())
		}
		r.mu.Unlock()
		if err != nil {
			return
		}
		answer := "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
		if !strings.HasPrefix(request, "HEAD ") {
			answer += "ok"
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

// take is the whole requests since the last take.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	whole := r.whole
	r.whole = nil
	return whole
}

// readCanonical reads a request as the gateway writes it, byte for byte: one blank, lower
// case, CRLF, one Host, one framing, plain chunks.
func readCanonical(br *bufio.Reader) (string, error) {
	var raw bytes.Buffer
	line := func() (string, error) {
		s, err := br.ReadString('\n')
		raw.WriteString(s)
		if err != nil {
			return s, err
		}
		if !strings.HasSuffix(s, "\r\n") || strings.ContainsAny(s[:len(s)-2], "\r\x00") {
			return s, fmt.Errorf("line %q", s)
		}
		return s[:len(s)-2], nil
	}
	first, err := line()
	if err != nil {
		return raw.String(), err
	}
	if words := strings.Split(first, " "); len(words) != 3 || words[2] != "HTTP/1.1" {
		return raw.String(), fmt.Errorf("request line %q", first)
	}
	fields, err := readFields(line)
	if err != nil {
		return raw.String(), err
	}
	if len(fields["host"]) != 1 || len(fields["content-length"])+len(fields["transfer-encoding"]) > 1 {
		return raw.String(), fmt.Errorf("fields %q", fields)
	}
	if fields["transfer-encoding"] != nil {
		return readChunks(br, &raw, line)
	}
	if length := fields["content-length"]; length != nil {
		n, err := strconv.ParseUint(length[0], 10, 32)
		if err != nil || strconv.FormatUint(n, 10) != length[0] {
			return raw.String(), fmt.Errorf("content-length %q", length)
		}
		_, err = io.CopyN(&raw, br, int64(n))
		return raw.String(), err
	}
	return raw.String(), nil
}

// readFields reads fields up to the empty line.
func readFields(line func() (string, error)) (map[string][]string, error) {
	fields := map[string][]string{}
	for {
		s, err := line()
		if s == "" || err != nil {
			return fields, err
		}
		name, value, ok := strings.Cut(s, ": ")
		if !ok || name == "" || name != strings.ToLower(name) || strings.ContainsAny(name, " \t:") || value != strings.Trim(value, " \t") {
			return fields, fmt.Errorf("field %q", s)
		}
		if slices.Contains([]string{"connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "http2-settings", "expect"}, name) {
			return fields, fmt.Errorf("hop-by-hop field %q", s)
		}
		fields[name] = append(fields[name], value)
	}
}

func readChunks(br *bufio.Reader, raw *bytes.Buffer, line func() (string, error)) (string, error) {
	for {
		s, err := line()
		if err != nil {
			return raw.String(), err
		}
		n, err := strconv.ParseUint(s, 16, 32)
		if err != nil || strconv.FormatUint(n, 16) != s {
			return raw.String(), fmt.Errorf("chunk size %q", s)
		}
		if n == 0 {
			_, err := readFields(line)
			return raw.String(), err
		}
		if _, err := io.CopyN(raw, br, int64(n)); err != nil {
			return raw.String(), err
		}
		if s, err := line(); err != nil || s != "" {
			return raw.String(), fmt.Errorf("end of chunk %q: %v", s, err)
		}
	}
}

// message is a canonical request taken apart.
type message struct {
	line, host string
	fields     []string // without the gateway's own, host and framing
	own        []string // the gateway's
	body       string
	trailer    []string
}

func parseMessage(t testing.TB, raw string) (m message) {
	t.Helper()
	head, rest, ok := strings.Cut(raw, "\r\n\r\n")
	require.True(t, ok, raw)
	lines := strings.Split(head, "\r\n")
	m.line, m.body = lines[0], rest
	chunked := false
	for _, f := range lines[1:] {
		name, value, _ := strings.Cut(f, ": ")
		switch {
		case name == "host":
			m.host = value
		case name == "content-length":
		case name == "transfer-encoding":
			chunked = true
		case strings.HasPrefix(name, "x-forwarded-") || name == "x-amzn-trace-id":
			m.own = append(m.own, f)
		default:
			m.fields = append(m.fields, f)
		}
	}
	if chunked {
		m.body = ""
		for {
			size, after, _ := strings.Cut(rest, "\r\n")
			n, err := strconv.ParseUint(size, 16, 32)
			require.NoError(t, err, raw)
			if n == 0 {
				if after != "\r\n" {
					m.trailer = strings.Split(strings.TrimSuffix(after, "\r\n\r\n"), "\r\n")
				}
				break
			}
			m.body += after[:n]
			rest = after[n+2:]
		}
	}
	return m
}

const canary = "GET /canary HTTP/1.1\r\nHost: canary\r\nX-Canary: 1\r\nConnection: close\r\n\r\n"

// dialTLS opens a raw connection to the door.
func (g *gateway) dialTLS(t testing.TB) *raw {
	t.Helper()
	c, err := tls.Dial("tcp", g.https, &tls.Config{RootCAs: g.roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &raw{c, bufio.NewReader(c)}
}

// receive reads the final answer to a request of that method.
func (r *raw) receive(method string) (*http.Response, string, error) {
	for {
		resp, err := http.ReadResponse(r.br, &http.Request{Method: method})
		if err != nil {
			return nil, "", err
		}
		if resp.StatusCode >= 200 {
			body, err := io.ReadAll(resp.Body)
			return resp, string(body), err
		}
	}
}

// strictHosts are the hosts of the corpus that are served.
const strictHosts = `a, a.example, example.com, localhost, a_b.example, 127.0.0.1, canary`

// TestStrict sends every raw request of the corpus through the whole gateway, with a canary
// behind it. What is accepted reaches the upstream in canonical bytes, and so does the
// canary; what is refused does not reach it, and neither does what follows on its connection.
func TestStrict(t *testing.T) {
	up := record(t)
	g := start(t, files{"apis/strict.yaml": document("x-wasmgate-api: {id: strict, domains: ["+strictHosts+"]}",
		`/: {x-amazon-apigateway-any-method: {`+proxy(up.url+"/")+`}}`,
		`/{proxy+}: {x-amazon-apigateway-any-method: {`+proxy(up.url+"/{proxy}")+`}}`)})
	arrived := 0
	corpus := cases.Load("internal/http1/testdata/requests/*.txt")
	require.GreaterOrEqual(t, len(corpus), 400)
	for _, k := range corpus {
		t.Run(k.File+"/"+k.Name, func(t *testing.T) {
			up.take()
			c := g.dialTLS(t)
			defer c.Close()
			_, err := io.WriteString(c, string(k.Raw)+canary)
			require.NoError(t, err)
			method, _, _ := strings.Cut(k.Line, " ")
			resp, _, err := c.receive(method)
			require.NoError(t, err)
			if k.Name == "TRACE" { // the door passes it on, for a policy to see
				k.Status, k.Line = 0, "TRACE a /"
			}
			if k.Status != 0 {
				strictRefused(t, c, up, k, resp)
				return
			}
			require.Equal(t, k.Close, resp.Close)
			var want []string
			if resp.StatusCode == http.StatusOK {
				arrived++
				want = append(want, "case")
			} else {
				require.Contains(t, notRouted(k), resp.StatusCode, "status of %s", k.Line)
			}
			_, _, err = c.receive("GET")
			if require.Equal(t, k.Close, err != nil, err); !k.Close {
				want = append(want, "canary")
			}
			seen := up.take()
			require.Len(t, seen, len(want), seen)
			for i, what := range want {
				if m := parseMessage(t, seen[i]); what == "case" {
					strictAccepted(t, k, m)
				} else {
					require.Equal(t, "GET /canary HTTP/1.1", m.line)
					require.Equal(t, []string{"x-canary: 1"}, m.fields)
					require.Empty(t, m.body)
				}
			}
		})
	}
	require.Greater(t, arrived, 75, "most of what http1 accepts is routed")
	for _, b := range up.broken {
		assert.Contains(t, b, "EOF", "a request that ended early, and nothing that is not canonical")
		assert.NotContains(t, b, "canary")
	}
}

// notRouted is the status of a well-formed request that no route takes, empty when one does.
func notRouted(k cases.Case) []int {
	words := strings.SplitN(k.Line, " ", 3)
	host, _, _ := strings.Cut(words[1], ":")
	path, _, _ := strings.Cut(words[2], "?")
	switch {
	case !slices.Contains(strings.Split(strictHosts, ", "), strings.TrimSuffix(host, ".")):
		return []int{http.StatusForbidden}
	case strings.Contains(path, "/.") || strings.Contains(strings.ToLower(path), "%2e"): // dot segments
		return []int{http.StatusBadRequest}
	case path == "*", !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, words[0]): // not in ANY
		return []int{http.StatusForbidden, http.StatusBadRequest}
	}
	return nil
}

func strictRefused(t *testing.T, c *raw, up *recorder, k cases.Case, resp *http.Response) {
	require.Equal(t, k.Status, resp.StatusCode)
	require.True(t, resp.Close)
	require.NotEmpty(t, resp.Header.Get("x-amzn-errortype"))
	require.NotEmpty(t, resp.Header.Get("x-amzn-requestid"))
	rest, err := io.ReadAll(c.br)
	require.NoError(t, err)
	require.Empty(t, string(rest), "an answer to what followed a refusal")
	require.Empty(t, up.take())
}

func strictAccepted(t *testing.T, k cases.Case, m message) {
	words := strings.SplitN(k.Line, " ", 3)
	if strings.HasPrefix(words[2], "//") { // below the stage is one slash, for policies too
		words[2] = words[2][1:]
	}
	require.Equal(t, words[0]+" "+words[2]+" HTTP/1.1", m.line)
	require.Equal(t, k.Body, m.body)
	require.Len(t, m.own, 5, "x-forwarded-for, -proto, -port, -host, x-amzn-trace-id")
	own := func(f string) bool { return strings.HasPrefix(f, "x-amzn-trace-id: ") }
	require.Equal(t, strings.Join(slices.DeleteFunc(slices.Clone(k.Fields), own), "\n"), strings.Join(m.fields, "\n"))
	require.Equal(t, k.Trailer, m.trailer)
}
