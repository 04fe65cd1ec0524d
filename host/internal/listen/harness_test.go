package listen

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test.
const patience = 10 * time.Second

type handlerFunc func(x *exchange.Exchange)

func (f handlerFunc) ServeExchange(x *exchange.Exchange) { f(x) }

// gate is a running server with what it saw.
type gate struct {
	*Server
	t       testing.TB
	addr    string // of HTTPS
	plain   string
	client  *tls.Config
	done    chan error
	mu      sync.Mutex
	refused []Refused
}

var testCertificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// start runs a server for the time of the test.
func start(t testing.TB, h exchange.Handler, change func(*Options)) *gate {
	t.Helper()
	g := &gate{t: t, done: make(chan error, 1)}
	listener := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		return l
	}
	o := Options{
		HTTPS: listener(), HTTP: listener(), Handler: h,
		TLS:    &tls.Config{Certificates: []tls.Certificate{testCertificate()}},
		Logger: slog.New(slog.DiscardHandler),
		OnRefusal: func(r Refused) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.refused = append(g.refused, r)
		},
	}
	if change != nil {
		change(&o)
	}
	g.addr, g.plain = o.HTTPS.Addr().String(), o.HTTP.Addr().String()
	g.client = &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}
	var err error
	g.Server, err = New(o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { g.done <- g.Serve(ctx) }() // waited for below
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-g.done:
			require.NoError(t, err)
		case <-time.After(patience):
			t.Error("Serve does not return")
		}
	})
	return g
}

// reasons are those of the refusals so far.
func (g *gate) reasons() (out []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.refused {
		out = append(out, r.Reason)
	}
	return out
}

// dial opens a TLS connection for HTTP/1.1.
func (g *gate) dial() *client {
	g.t.Helper()
	conn, err := tls.Dial("tcp", g.addr, g.client)
	require.NoError(g.t, err)
	return g.wrap(conn)
}

func (g *gate) dialPlain() *client {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.plain)
	require.NoError(g.t, err)
	return g.wrap(conn)
}

func (g *gate) wrap(conn net.Conn) *client {
	conn.SetDeadline(time.Now().Add(patience))
	g.t.Cleanup(func() { conn.Close() })
	return &client{Conn: conn, t: g.t, br: bufio.NewReader(conn)}
}

// client is a raw client.
type client struct {
	net.Conn
	t  testing.TB
	br *bufio.Reader
}

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	_, err := fmt.Fprintf(c, format, args...)
	require.NoError(c.t, err)
}

// receive reads one answer to a request of that method.
func (c *client) receive(method string) (*http.Response, string) {
	c.t.Helper()
	r, err := http.ReadResponse(c.br, &http.Request{Method: method})
	require.NoError(c.t, err)
	body, err := io.ReadAll(r.Body)
	require.NoError(c.t, err)
	return r, string(body)
}

// ended requires that the server has closed the connection.
func (c *client) ended() {
	c.t.Helper()
	rest, err := io.ReadAll(c.br)
	require.NoError(c.t, err)
	require.Empty(c.t, string(rest))
}

// echo answers with what it understood.
func echo(x *exchange.Exchange) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s", x.Method, x.Authority, x.Target)
	if x.Query != "" || x.EmptyQuery {
		b.WriteString("?" + x.Query)
	}
	b.WriteString("\n")
	for name, value := range x.Header.All() {
		fmt.Fprintf(&b, "%s: %s\n", name, value)
	}
	b.WriteString("\n")
	if r, _, _ := x.BodyReader(); r != nil {
		body, err := io.ReadAll(r)
		if err != nil {
			problem.Write(x, err)
			return
		}
		b.Write(body)
	}
	for name, value := range x.Trailer.All() {
		fmt.Fprintf(&b, "\n%s: %s", name, value)
	}
	x.Response.Status = 200
	x.Response.Header.Add("content-type", "text/plain")
	x.Response.SetBody([]byte(b.String()))
}
