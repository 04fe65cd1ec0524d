package host_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

const changeHost = "change.execute-api.localhost"

// raw is a client that forgives nothing: one connection after the other, each used until an
// answer says that it is the last, no request sent twice.
type raw struct {
	net.Conn
	br *bufio.Reader
}

func (g *gateway) dialRaw() (*raw, error) {
	https, _, _ := g.Addresses()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", https, &tls.Config{RootCAs: g.roots, ServerName: changeHost})
	if err != nil {
		return nil, err
	}
	return &raw{c, bufio.NewReader(c)}, nil
}

func (r *raw) ask(request string) (*http.Response, string, error) {
	r.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(r, request); err != nil {
		return nil, "", err
	}
	resp, err := http.ReadResponse(r.br, nil)
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// changer serves one API at a process file that changes.
func newChanger(t *testing.T) *gateway {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/never" {
			<-r.Context().Done()
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, "took ", n)
	}))
	t.Cleanup(up.Close)
	g := start(t, files{
		"wasmgate.yaml": quiet,
		"apis/change.yaml": document("x-wasmgate-api: {id: change, stage: prod}",
			`/echo: {x-amazon-apigateway-any-method: {`+proxy(up.URL+"/echo")+`}}`,
			`/never: {get: {`+proxy(up.URL+"/never")+`}}`),
	})
	// A client of a gateway that moves learns where it is.
	for _, c := range []*http.Client{g.h1, g.h2} {
		c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			for {
				https, _, _ := g.Addresses()
				conn, err := new(net.Dialer).DialContext(ctx, network, https)
				if now, _, _ := g.Addresses(); err == nil || now == https {
					return conn, err
				}
			}
		}
	}
	return g
}

const quiet = "log: {access: {enabled: false}}\n"

const echoURL = "https://" + changeHost + "/prod/echo"

// echoes sends a body of that size and wants it to have arrived.
func echoes(c *http.Client, size int) error {
	resp, body, err := fetch(c, http.MethodPost, echoURL, make([]byte, size))
	if err == nil && (resp.StatusCode != http.StatusOK || body != fmt.Sprint("took ", size)) {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	return err
}

// processChanges are process files, and what each does to a client.
var processChanges = []struct {
	name, content string
	check         func(t *testing.T, g *gateway, clients []*http.Client)
}{
	{"limits", "limits: {body_bytes: 1KiB, header_count: 20}", func(t *testing.T, g *gateway, clients []*http.Client) {
		many := make([]string, 30)
		for i := range many {
			many[i] = fmt.Sprintf("x-%d: y", i)
		}
		for _, c := range clients {
			assert.ErrorContains(t, echoes(c, 2000), "status 413")
			assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, get(t, c, echoURL, many...).StatusCode)
		}
	}},
	{"idle timeout", "timeouts: {idle: 2s}", func(t *testing.T, g *gateway, _ []*http.Client) {
		r, err := g.dialRaw()
		require.NoError(t, err)
		defer r.Close()
		r.SetDeadline(time.Now().Add(10 * time.Second))
		_, err = r.br.ReadByte()
		assert.ErrorIs(t, err, io.EOF)
	}},
	{"upstream timeout", "upstreams: {timeout: 2s}", func(t *testing.T, _ *gateway, clients []*http.Client) {
		a := get(t, clients[0], "https://"+changeHost+"/prod/never")
		assert.Equal(t, http.StatusGatewayTimeout, a.StatusCode, a.body)
	}},
	{"lowest TLS version", `tls: {mode: internal, min_version: "1.3"}`, func(t *testing.T, g *gateway, _ []*http.Client) {
		https, _, _ := g.Addresses()
		_, err := tls.Dial("tcp", https, &tls.Config{RootCAs: g.roots, ServerName: changeHost, MaxVersion: tls.VersionTLS12})
		assert.ErrorContains(t, err, "protocol version")
	}},
	{"address", `listen: {https: "localhost:0", http: "", admin: "127.0.0.1:0"}`, func(t *testing.T, g *gateway, _ []*http.Client) {
		https, http, _ := g.Addresses()
		assert.NotEqual(t, g.https, https)
		assert.Empty(t, http)
		_, err := net.Dial("tcp", g.https)
		assert.Error(t, err, "nobody is at the old address")
	}},
	{"nothing", "", func(t *testing.T, g *gateway, clients []*http.Client) {
		for _, c := range clients {
			assert.NoError(t, echoes(c, 2000))
		}
	}},
}

// rawLoad asks on, over a new connection when an answer ended the one before.
type rawLoad struct {
	*gateway
	*raw
	answers, last int // and how many of them were the last of a connection
}

func (l *rawLoad) ask() (err error) {
	if l.raw == nil {
		if l.raw, err = l.dialRaw(); err != nil {
			l.raw, err = l.dialRaw() // the gateway moved in between
		}
		if err != nil {
			return err
		}
	}
	resp, body, err := l.raw.ask("POST /prod/echo HTTP/1.1\r\nHost: " + changeHost + "\r\nContent-Length: 3\r\n\r\nabc")
	if err == nil && body != "took 3" {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	if l.answers++; err != nil || resp.Close {
		l.last++
		l.raw.Close()
		l.raw = nil
	}
	return err
}

// rawLoad2 is rawLoad over HTTP/2: a stream that GOAWAY leaves unanswered is lost.
type rawLoad2 struct {
	*gateway
	under *tls.Conn
	conn  *http2.ClientConn
}

func (l *rawLoad2) ask() error {
	if l.conn == nil || !l.conn.CanTakeNewRequest() {
		if err := l.dial(); err != nil {
			return err
		}
	}
	req, err := http.NewRequest(http.MethodPost, echoURL, io.MultiReader(strings.NewReader("abc"))) // can be sent once
	if err != nil {
		return err
	}
	resp, err := l.conn.RoundTrip(req)
	if err != nil {
		if strings.Contains(err.Error(), "client conn not usable") { // GOAWAY came before anything was sent
			return nil
		}
		return fmt.Errorf("raw HTTP/2: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && string(body) != "took 3" {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	return err
}

func (l *rawLoad2) dial() (err error) {
	l.close()
	for range 2 { // the gateway may move in between
		https, _, _ := l.Addresses()
		if l.under, err = tls.Dial("tcp", https, &tls.Config{RootCAs: l.roots, ServerName: changeHost, NextProtos: []string{"h2"}}); err == nil {
			l.conn, err = new(http2.Transport).NewClientConn(l.under)
			return err
		}
	}
	return err
}

func (l *rawLoad2) close() {
	if l.under != nil {
		l.under.Close()
	}
}

// TestProcessFileChanges changes the process file under load. Whatever changes, the clients
// of the old door lose no request.
func TestProcessFileChanges(t *testing.T) {
	g := newChanger(t)
	l := &load{stopping: make(chan struct{})}
	for _, c := range []*http.Client{g.h1, g.h2} {
		l.start(func() error { return echoes(c, 500) })
	}
	r := &rawLoad{gateway: g}
	l.start(r.ask)
	r2 := &rawLoad2{gateway: g}
	l.start(r2.ask)
	// These wait through each change with their connection open and idle.
	var patient []*raw
	for range 2 {
		for _, change := range processChanges {
			t.Run(change.name, func(t *testing.T) {
				p, err := g.dialRaw()
				require.NoError(t, err)
				patient = append(patient, p)
				_, _, err = p.ask("GET /prod/echo HTTP/1.1\r\nHost: " + changeHost + "\r\n\r\n")
				require.NoError(t, err)
				g.update(files{"wasmgate.yaml": process(change.content + "\n" + quiet)})
				fresh := []*http.Client{g.client(false), g.client(true)}
				for _, c := range fresh {
					c.Transport.(*http.Transport).DialContext = g.h1.Transport.(*http.Transport).DialContext
					defer c.CloseIdleConnections()
				}
				change.check(t, g, fresh)
				g.https, _, _ = g.Addresses()
			})
		}
	}
	for i, p := range patient {
		name := processChanges[i%len(processChanges)].name
		if i > 0 && processChanges[(i-1)%len(processChanges)].name == "idle timeout" {
			p.Close() // it came to that door, which did not wait
			continue
		}
		resp, body, err := p.ask("GET /prod/echo HTTP/1.1\r\nHost: " + changeHost + "\r\n\r\n")
		require.NoError(t, err, "a connection that was idle when %q changed", name)
		assert.Equal(t, "took 0", body)
		assert.Equal(t, name != "upstream timeout", resp.Close, name)
		p.Close()
	}
	l.stop(t)
	r2.close()
	if r.raw != nil {
		r.raw.Close()
	}
	t.Logf("%d requests; the raw client: %d answers, %d of them the last of a connection", l.requests.Load(), r.answers, r.last)
	require.GreaterOrEqual(t, r.last, len(processChanges))
}

// TestBadChanges refuses what is wrong, wherever it stands, tells why at every place where
// an operator looks, and serves on.
func TestBadChanges(t *testing.T) {
	authority := newAuthority(t)
	up := serve(t, nil)
	good := files{
		"wasmgate.yaml":      withFiles,
		"apis/a.yaml":        document("x-wasmgate-api: {id: a, stage: prod}\nx-wasmgate-policies: [{plugin: stamp, config: \"00000000\"}]", `/x: {get: {`+proxy(up.URL+"/x")+`}}`),
		"plugins/stamp.wasm": stamp(0),
	}
	maps.Copy(good, authority.issue(t, 1, "*.execute-api.localhost"))
	g := start(t, good)
	g.roots = authority.roots
	g.h1, g.h2 = g.client(false), g.client(true)
	serves := func(t *testing.T) {
		g.each(t, func(t *testing.T, c *http.Client) {
			assert.Equal(t, "GET /x", get(t, c, "https://a.execute-api.localhost/prod/x").body)
		})
	}
	for name, change := range map[string]struct {
		content files
		reason  string
	}{
		"document does not parse":      {files{"apis/a.yaml": "openapi: [3.0.3"}, "apis/a.yaml:1"},
		"document without integration": {files{"apis/b.yaml": document("x-wasmgate-api: {id: b, stage: prod}", "/x: {get: {}}")}, "apis/b.yaml:5"},
		"unknown plugin":               {files{"apis/a.yaml": strings.Replace(good["apis/a.yaml"], "plugin: stamp", "plugin: stomp", 1)}, `"stomp"`},
		"two documents of one id":      {files{"apis/b.yaml": good["apis/a.yaml"]}, "apis/b.yaml"},
		"plugin is garbage":            {files{"plugins/stamp.wasm": "garbage"}, `plugins/stamp.wasm`},
		"new plugin is garbage":        {files{"plugins/new.wasm": "\x00asm\x01\x00\x00\x00"}, `plugins/new.wasm`},
		"plugin is gone":               {files{"plugins/stamp.wasm": ""}, `"stamp"`},
		"process file does not parse":  {files{"wasmgate.yaml": "listen: [\n"}, "wasmgate.yaml:"},
		"unknown key":                  {files{"wasmgate.yaml": process(withFiles + "lisen: {}\n")}, "lisen"},
		"busy address":                 {files{"wasmgate.yaml": strings.Replace(process(withFiles), `https: "127.0.0.1:0"`, `https: "`+g.admin+`"`, 1)}, "listen.https: listen tcp"},
		"certificate file is missing":  {files{"wasmgate.yaml": process("tls: {mode: files, certificates: [{cert: none.crt, key: tls.key}]}\n")}, "none.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			before := g.status().Snapshot
			assert.Contains(t, g.refused(change.content), change.reason)
			serves(t)
			status := g.status()
			assert.Equal(t, before, status.Snapshot)
			assert.True(t, status.Ready)
			assert.Contains(t, status.LastReload.Error, change.reason)
			assert.Contains(t, unquoted(g.adminGet("/readyz")), change.reason)
			assert.Contains(t, unquoted(g.log.String()), change.reason)
			back := files{}
			for file := range change.content {
				back[file] = good[file] // what was not there goes
			}
			if back["wasmgate.yaml"] != "" {
				back["wasmgate.yaml"] = process(withFiles)
			}
			g.update(back)
			assert.Empty(t, g.status().LastReload.Error)
		})
	}
	t.Run("a key that only a start can change", func(t *testing.T) {
		g.update(files{"wasmgate.yaml": process(withFiles + "log: {level: debug}\nthrottle: {buckets: 7}\n")})
		serves(t)
		require.Len(t, g.status().Warnings, 1)
		assert.Contains(t, g.status().Warnings[0], "log changed, which counts from the next start on")
		g.update(files{"wasmgate.yaml": process(withFiles)})
		assert.Empty(t, g.status().Warnings)
	})
	t.Run("certificate does not match its key", func(t *testing.T) {
		g.update(files{"tls.key": authority.issue(t, 2, "x")["tls.key"]}) // the snapshot is good
		serves(t)
		const reason = "private key does not match"
		assert.Contains(t, g.adminGet("/readyz"), reason)
		assert.Contains(t, g.log.String(), reason)
		require.Len(t, g.status().Certificates, 1)
		assert.Contains(t, g.status().Certificates[0].Error, reason)
		g.update(files{"tls.key": good["tls.key"]})
		assert.Empty(t, g.status().Certificates[0].Error)
	})
}

// unquoted undoes JSON's quotes, and those of a text in JSON.
func unquoted(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, `\\`, `\`), `\"`, `"`)
}
