package listen

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// answer is a handler as lean as can be, which still reads the body.
var answer = handlerFunc(func(x *exchange.Exchange) {
	if x.Body != nil {
		if _, err := x.Full(1 << 20); err != nil {
			panic(err)
		}
	}
	x.Response.Status = 200
	x.Response.Header.AppendAlias(contentType, applicationJSON)
	x.Response.SetBody(answerBody)
})

var (
	contentType     = []byte("content-type")
	applicationJSON = []byte("application/json")
	answerBody      = []byte(`{"message":"256 bytes or so"}`)
)

const browserRequest = "GET /v1/pets/42?limit=10 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n" +
	"Accept: application/json\r\nAccept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n" +
	"Authorization: Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl\r\nConnection: keep-alive\r\n\r\n"

// pipe serves one end of a pipe and gives the other.
func pipe(t testing.TB, secure bool, h exchange.Handler) net.Conn {
	s, err := New(Options{
		HTTPS: deafListener{}, Handler: h,
		TLS: &tls.Config{Certificates: []tls.Certificate{testCertificate()}},
	})
	require.NoError(t, err)
	client, server := net.Pipe()
	c := newConn(s, server, secure)
	c.handler = h
	require.Empty(t, s.add(c))
	go c.run() // ends with the pipe
	t.Cleanup(func() {
		client.Close()
		s.running.Wait()
	})
	if secure {
		tc := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
		require.NoError(t, tc.Handshake())
		return tc
	}
	return client
}

type deafListener struct{ net.Listener }

func (deafListener) Addr() net.Addr { return &net.TCPAddr{Port: 8443} }

func exchangeOnce(t testing.TB, c net.Conn, request, buf []byte) {
	if _, err := c.Write(request); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(buf)
	if err != nil || n < 15 || string(buf[:15]) != "HTTP/1.1 200 OK" {
		t.Fatalf("read answer: %q, %v", buf[:n], err)
	}
}

func TestHTTP1AllocatesNothing(t *testing.T) {
	for name, request := range map[string]string{
		"GET":     browserRequest,
		"POST":    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		"chunked": "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, raw, buf := pipe(t, false, answer), []byte(request), make([]byte, 4096)
			allocs := testing.AllocsPerRun(500, func() { exchangeOnce(t, c, raw, buf) })
			if !raceEnabled { // the race detector makes sync.Pool forget at random
				require.Zero(t, allocs)
			}
		})
	}
}

func BenchmarkHTTP1(b *testing.B) {
	for name, secure := range map[string]bool{"plain": false, "tls": true} {
		b.Run(name, func(b *testing.B) {
			c, raw, buf := pipe(b, secure, answer), []byte(browserRequest), make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				exchangeOnce(b, c, raw, buf)
			}
		})
	}
}
