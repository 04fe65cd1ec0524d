package tlstest

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// Pebble is a running authority. It is safe for concurrent use.
type Pebble struct {
	// Directory is its URL, RootFile the PEM file to trust it by.
	Directory, RootFile string
	// Roots are of what it issues.
	Roots *x509.CertPool

	orders    atomic.Int64
	down      atomic.Bool
	log       Log
	resolver  string
	store     *db.MemoryStore
	authority *ca.CAImpl
	handler   chan http.Handler // holds one once it can validate
}

// Log is a buffer that several goroutines may write and read.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends p.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is what was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Start starts an authority that ends with the test. It lets clients wait until
// [Pebble.Validate] has told it where their doors are. Its certificates are good for 90 days.
func Start(t *testing.T) *Pebble {
	t.Helper()
	return start(t, "default", 90*24*time.Hour)
}

// StartBrief is Start with certificates that are good for four seconds, in the profile brief.
func StartBrief(t *testing.T) *Pebble {
	t.Helper()
	return start(t, "brief", 4*time.Second)
}

// start makes an authority with one profile: of several, Pebble takes any.
func start(t *testing.T, profile string, validity time.Duration) *Pebble {
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	t.Setenv("PEBBLE_AUTHZREUSE", "0") // every order validates
	p := &Pebble{resolver: startDNS(t), store: db.NewMemoryStore(), Roots: x509.NewCertPool(), handler: make(chan http.Handler, 1)}
	p.authority = ca.New(log.New(&p.log, "", 0), p.store, "", "ecdsa", 0, 1, map[string]ca.Profile{profile: {ValidityPeriod: uint64(validity.Seconds())}})
	server := httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	p.Directory = server.URL + wfe.DirectoryPath
	p.RootFile = filepath.Join(t.TempDir(), "pebble.pem")
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(p.RootFile, root, 0o600); err != nil {
		t.Fatal(err)
	}
	p.Roots.AddCert(p.authority.GetRootCert(0).Cert)
	return p
}

func (p *Pebble) serve(w http.ResponseWriter, r *http.Request) {
	if p.down.Load() {
		panic(http.ErrAbortHandler)
	}
	var handler http.Handler
	select {
	case handler = <-p.handler:
		p.handler <- handler
	case <-r.Context().Done():
		return
	}
	if r.URL.Path == "/order-plz" {
		p.orders.Add(1)
	}
	handler.ServeHTTP(w, r)
}

// Validate tells the ports of the doors where it asks back: http-01 and tls-alpn-01. Call
// it once.
func (p *Pebble) Validate(http, tls int) {
	logger := log.New(&p.log, "", 0)
	front := wfe.New(logger, p.store, va.New(logger, http, tls, false, p.resolver, p.store), p.authority, []string{"pebble"}, true, false, 0, 0)
	p.handler <- front.Handler()
}

// Orders is how many orders were made.
func (p *Pebble) Orders() int64 { return p.orders.Load() }

// SetDown makes it break every connection, or serve again.
func (p *Pebble) SetDown(down bool) { p.down.Store(down) }

// Log is what it logged.
func (p *Pebble) Log() string { return p.log.String() }

func startDNS(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if len(q.Question) == 1 && q.Question[0].Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1},
				A:   net.IPv4(127, 0, 0, 1),
			}}
		}
		_ = w.WriteMsg(m) // a client that went away asks again
	})}
	done := make(chan struct{})
	go func() { // ended by Shutdown, waited for below
		defer close(done)
		_ = server.ActivateAndServe()
	}()
	t.Cleanup(func() {
		if server.Shutdown() != nil { // it had not begun to serve
			l.Close()
		}
		<-done
	})
	return l.Addr().String()
}
