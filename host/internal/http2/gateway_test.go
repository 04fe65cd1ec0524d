package http2_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host"
	"github.com/wasmgate/wasmgate/host/internal/http2"
)

// recorder is an upstream that reads canonical HTTP/1.1 only, keeps what comes in the form
// of the cases and answers with it.
type recorder struct {
	mu     sync.Mutex
	seen   []string
	broken []string // what was not whole, or not canonical
}

func (r *recorder) take() (seen, broken []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen, broken, r.seen, r.broken = r.seen, r.broken, nil, nil
	return seen, broken
}

func (r *recorder) serve(c net.Conn) {
	defer c.Close()
	for br := bufio.NewReader(c); ; {
		if _, err := br.Peek(1); err != nil {
			return
		}
		text, err := readCanonical(br)
		r.mu.Lock()
		if err != nil {
			r.broken = append(r.broken, err.Error())
		} else {
			r.seen = append(r.seen, text)
		}
		r.mu.Unlock()
		if err != nil {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", len(text), text)
	}
}

// readCanonical reads a request as the gateway is to write it: CRLF everywhere, names in
// lower case, one Host, one framing, nothing hop-by-hop, chunks without extensions.
func readCanonical(br *bufio.Reader) (string, error) {
	line := func() (string, error) {
		s, err := br.ReadString('\n')
		if err == nil && (!strings.HasSuffix(s, "\r\n") || strings.ContainsAny(s[:len(s)-2], "\r\x00")) {
			err = fmt.Errorf("line %q", s)
		}
		return strings.TrimSuffix(s, "\r\n"), err
	}
	first, err := line()
	words := strings.Split(first, " ")
	if err != nil || len(words) != 3 || words[2] != "HTTP/1.1" {
		return "", fmt.Errorf("request line %q: %v", first, err)
	}
	fields, special, err := readFields(line)
	if err != nil {
		return "", err
	}
	if len(special["host"]) != 1 || len(special["x-forwarded-host"]) != 1 || len(special["content-length"])+len(special["transfer-encoding"]) > 1 {
		return "", fmt.Errorf("framing %v", special)
	}
	var body strings.Builder
	trailer := ""
	if length := special["content-length"]; length != nil {
		n, err := strconv.ParseInt(length[0], 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != length[0] {
			return "", fmt.Errorf("content-length %q", length[0])
		}
		if _, err := io.CopyN(&body, br, n); err != nil {
			return "", err
		}
	} else if special["transfer-encoding"] != nil {
		if trailer, err = readChunks(br, line, &body); err != nil {
			return "", err
		}
	}
	text := words[0] + " " + special["x-forwarded-host"][0] + " " + words[1] + "\n" + fields + "\n" + body.String()
	for field := range strings.Lines(trailer) {
		text += "\n" + strings.TrimSuffix(field, "\n")
	}
	return text, nil
}

// readFields reads up to the empty line: plain fields as lines, and those that frame.
func readFields(line func() (string, error)) (plain string, special map[string][]string, err error) {
	special = map[string][]string{}
	for {
		s, err := line()
		name, value, ok := strings.Cut(s, ": ")
		switch {
		case err != nil || s == "":
			return plain, special, err
		case !ok || name != strings.ToLower(name) || value != strings.Trim(value, " \t"),
			slices.Contains([]string{"connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "http2-settings", "expect"}, name):
			return "", nil, fmt.Errorf("field %q", s)
		case name == "host" || name == "x-forwarded-host" || name == "content-length" || name == "transfer-encoding":
			special[name] = append(special[name], value)
		case strings.HasPrefix(name, "x-forwarded-") || name == "x-amzn-trace-id":
		default:
			plain += s + "\n"
		}
	}
}

func readChunks(br *bufio.Reader, line func() (string, error), body *strings.Builder) (trailer string, err error) {
	for {
		s, err := line()
		n, err2 := strconv.ParseInt(s, 16, 64)
		if err != nil || err2 != nil || strconv.FormatInt(n, 16) != s {
			return "", fmt.Errorf("chunk size %q: %v", s, err)
		}
		if n == 0 {
			trailer, _, err = readFields(line)
			return trailer, err
		}
		if _, err := io.CopyN(body, br, n); err != nil {
			return "", err
		}
		if s, err := line(); s != "" || err != nil {
			return "", fmt.Errorf("end of chunk %q: %v", s, err)
		}
	}
}

// record starts an upstream.
func record(t *testing.T) (r *recorder, url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r = &recorder{}
	var serving sync.WaitGroup
	serving.Go(func() { // ends with l; waited for below
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { r.serve(c) }) // ends when the gateway closes c
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return r, "http://" + l.Addr().String()
}

// gateway starts a host that sends everything to url, and gives the address of its door.
func gateway(t *testing.T, url string) string {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"wasmgate.yaml": `{listen: {https: "127.0.0.1:0", http: "", admin: "127.0.0.1:0"}, log: {level: error, access: {enabled: false}}, timeouts: {shutdown: 5s}}`,
		"apis/a.yaml": `openapi: 3.0.3
info: {title: Cases, version: "1"}
x-wasmgate-api: {id: cases, stage: $default, domains: [a, b, a.example, canary, "127.0.0.1", "*.example.com", example.com]}
paths:
  /: {x-amazon-apigateway-any-method: {x-amazon-apigateway-integration: {type: http_proxy, httpMethod: ANY, uri: "` + url + `/"}, responses: {}}}
  /{proxy+}: {x-amazon-apigateway-any-method: {x-amazon-apigateway-integration: {type: http_proxy, httpMethod: ANY, uri: "` + url + `/{proxy}"}, responses: {}}}
`} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	config, err := host.Load(host.LoadOptions{File: filepath.Join(dir, "wasmgate.yaml"), Environ: []string{}})
	require.NoError(t, err)
	h, err := host.New(host.Options{Config: config, Builtins: os.DirFS("../../../cmd/wasmgate/builtin"), Version: "test", Stdout: io.Discard, Stderr: os.Stderr})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- h.Run(context.Background()) }() // waited for below
	t.Cleanup(func() {
		assert.NoError(t, h.Close())
		assert.NoError(t, <-ended)
	})
	select {
	case <-h.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatalf("run host (the built-in plugins are made by `make plugins`): %v", err)
	}
	https, _, _ := h.Addresses()
	return https
}

// routing says why the gateway answers these otherwise than the bare server: they are well-formed.
var routing = map[string]string{
	"head/IPv6 authority":      "no API has that host",
	"head/path of two slashes": "below the stage is one slash",
	"head/asterisk":            "no route takes it",
	"head/method of our own":   "ANY does not have it, as with Amazon",
	"head/TRACE":               "the gateway lets it come to an API's trace operation",
}

// TestCasesThroughTheGateway plays every case against the whole gateway: what is accepted
// reaches a recording upstream, canonical, and so does the canary behind it; nothing else does.
func TestCasesThroughTheGateway(t *testing.T) {
	up, url := record(t)
	door := gateway(t, url)
	for _, k := range http2.Cases(t) {
		if routing[k.Title()] != "" {
			continue
		}
		t.Run(k.Title(), func(t *testing.T) {
			up.take()
			conn, err := tls.Dial("tcp", door, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{"h2"}})
			require.NoError(t, err)
			want := k.Run(t, conn)
			seen, broken := up.take()
			want = slices.DeleteFunc(want, func(s string) bool { return strings.HasPrefix(s, "broken") })
			require.ElementsMatch(t, want, seen, "%q", broken)
		})
	}
}
