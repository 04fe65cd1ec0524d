package tls

import (
	"bytes"
	"context"
	stdtls "crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pebble is Let's Encrypt's test authority, whole and in this process. It resolves every
// name to 127.0.0.1 and validates at the two doors of a gateway.
type pebble struct {
	directory, rootFile string
	roots               *x509.CertPool // of what it issues
	orders              atomic.Int64
	down                atomic.Bool
	log                 lockedBuffer
	http, tls           net.Listener // where it validates
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func listen(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

func startPebble(t *testing.T) *pebble {
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	t.Setenv("PEBBLE_AUTHZREUSE", "0") // every order validates
	p := &pebble{http: listen(t), tls: listen(t)}
	logger := log.New(&p.log, "", 0)
	store := db.NewMemoryStore()
	authority := ca.New(logger, store, "", "ecdsa", 0, 1, map[string]ca.Profile{
		"default": {ValidityPeriod: 90 * 24 * 3600},
		"brief":   {ValidityPeriod: 4},
	})
	validator := va.New(logger, port(p.http), port(p.tls), false, startDNS(t), store)
	front := wfe.New(logger, store, validator, authority, []string{"pebble"}, true, false, 0, 0)
	handler := front.Handler()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down.Load() {
			panic(http.ErrAbortHandler)
		}
		if r.URL.Path == "/order-plz" {
			p.orders.Add(1)
		}
		handler.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	p.directory = server.URL + wfe.DirectoryPath
	p.rootFile = filepath.Join(t.TempDir(), "pebble.pem")
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(p.rootFile, root, 0o600))
	p.roots = x509.NewCertPool()
	p.roots.AddCert(authority.GetRootCert(0).Cert)
	return p
}

func startDNS(t *testing.T) string {
	l := listen(t)
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if len(q.Question) == 1 && q.Question[0].Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1},
				A:   net.IPv4(127, 0, 0, 1),
			}}
		}
		_ = w.WriteMsg(m)
	})}
	go server.ActivateAndServe() // ended and waited for by Shutdown
	t.Cleanup(func() { _ = server.Shutdown() })
	return l.Addr().String()
}

// gateway is a Manager with the two doors that an authority knocks at.
type gateway struct {
	*Manager
	http, tls net.Listener
	log       *lockedBuffer
	stop      func()
}

func (p *pebble) options(dir string, names ...string) Options {
	return Options{Mode: ACME, DataDir: dir, Names: names, ACME: ACMEOptions{
		Directory: p.directory, RootFile: p.rootFile, Email: "ops@example.test",
		RetryMin: 50 * time.Millisecond, RenewCheck: 100 * time.Millisecond,
	}}
}

func startGateway(t *testing.T, o Options, httpDoor, tlsDoor net.Listener) *gateway {
	g := &gateway{http: httpDoor, tls: tlsDoor, log: &lockedBuffer{}}
	o.Logger = slog.New(slog.NewTextHandler(g.log, nil))
	m, err := New(o)
	require.NoError(t, err)
	g.Manager = m
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { assert.NoError(t, m.Run(ctx)) })
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := m.HTTPChallenge(r.Host, r.URL.Path)
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(body)
	})}
	wg.Go(func() { web.Serve(httpDoor) })
	wg.Go(func() { serveTLS(tlsDoor, m.Config()) })
	g.stop = sync.OnceFunc(func() {
		cancel()
		assert.NoError(t, m.Close())
		web.Close()
		tlsDoor.Close()
		wg.Wait()
	})
	t.Cleanup(g.stop)
	return g
}

// serveTLS does handshakes, and says "ok" where HTTP would come.
func serveTLS(l net.Listener, config *stdtls.Config) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(5 * time.Second))
			c := stdtls.Server(conn, config)
			if c.Handshake() == nil && c.ConnectionState().NegotiatedProtocol != ACMEProtocol {
				io.WriteString(c, "ok")
			}
		})
	}
}

// leaf is the certificate that l serves for name, verified against roots.
func leaf(l net.Listener, name string, roots *x509.CertPool) (*x509.Certificate, error) {
	d := &net.Dialer{Timeout: 5 * time.Second}
	c, err := stdtls.DialWithDialer(d, "tcp", l.Addr().String(), &stdtls.Config{ServerName: name, RootCAs: roots})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := io.ReadAll(c); err != nil {
		return nil, err
	}
	return c.ConnectionState().PeerCertificates[0], nil
}

func (g *gateway) waitLeaf(t *testing.T, name string, roots *x509.CertPool) *x509.Certificate {
	var got *x509.Certificate
	require.Eventually(t, func() bool {
		var err error
		got, err = leaf(g.tls, name, roots)
		return err == nil
	}, 15*time.Second, 20*time.Millisecond, "no certificate for %s; log: %v", name, g.log)
	return got
}

func TestACMEIssuesByEachChallenge(t *testing.T) {
	for _, challenge := range []string{"tls-alpn-01", "http-01"} {
		t.Run(challenge, func(t *testing.T) {
			p := startPebble(t)
			o := p.options(t.TempDir(), "Api.Example.Test.")
			o.ACME.Challenges = []string{challenge}
			g := startGateway(t, o, p.http, p.tls)
			cert := g.waitLeaf(t, "api.example.test", p.roots)
			assert.Equal(t, []string{"api.example.test"}, cert.DNSNames)
			assert.EqualValues(t, 1, p.orders.Load())

			status := g.Status()
			require.Len(t, status, 1)
			assert.NoError(t, status[0].Err)
			assert.Equal(t, cert.NotAfter, status[0].NotAfter)

			_, err := leaf(g.tls, "other.example.test", p.roots)
			assert.ErrorContains(t, err, "unrecognized name")
			_, ok := g.HTTPChallenge("api.example.test", "/.well-known/acme-challenge/x")
			assert.False(t, ok)
		})
	}
}

func TestACMERestartMakesNoOrderAndNamesComeAndGo(t *testing.T) {
	p := startPebble(t)
	dir := t.TempDir()
	first := startGateway(t, p.options(dir, "a.example.test"), p.http, p.tls)
	before := first.waitLeaf(t, "a.example.test", p.roots)
	first.stop()

	p.down.Store(true) // it is not even asked
	second := startGateway(t, p.options(dir, "a.example.test"), listen(t), listen(t))
	after, err := leaf(second.tls, "a.example.test", p.roots)
	require.NoError(t, err, "a stored certificate serves from the first handshake")
	assert.Equal(t, before.SerialNumber, after.SerialNumber)
	assert.EqualValues(t, 1, p.orders.Load())

	second.SetNames([]string{"b.example.test", "*.example.test", "localhost"})
	var errs []string
	for _, s := range second.Status() {
		if s.Err != nil {
			errs = append(errs, s.Err.Error())
		}
	}
	all := strings.Join(errs, "\n")
	assert.Contains(t, all, `"*.example.test": a wildcard needs dns-01`)
	assert.Contains(t, all, `"localhost" is no public name`)
	second.SetNames(nil)
	assert.Len(t, second.Status(), 1)
	_, err = leaf(second.tls, "a.example.test", p.roots)
	assert.NoError(t, err, "a configured name stays")
}

func TestACMEStartsWhileTheAuthorityIsDown(t *testing.T) {
	p := startPebble(t)
	p.down.Store(true)
	g := startGateway(t, p.options(t.TempDir(), "c.example.test"), p.http, p.tls)
	require.Eventually(t, func() bool {
		s := g.Status()
		return len(s) == 1 && s[0].Err != nil && strings.Contains(s[0].Err.Error(), "register acme account")
	}, 15*time.Second, 10*time.Millisecond)
	_, err := leaf(g.tls, "c.example.test", p.roots)
	require.ErrorContains(t, err, "unrecognized name")
	assert.Contains(t, g.log.String(), "certificate is not to be had")

	p.down.Store(false)
	g.waitLeaf(t, "c.example.test", p.roots)
	assert.NoError(t, g.Status()[0].Err)
}

func TestACMERenewsAndNamesTheReplaced(t *testing.T) {
	p := startPebble(t)
	o := p.options(t.TempDir(), "d.example.test")
	o.ACME.Profile = "brief" // 4 s
	g := startGateway(t, o, p.http, p.tls)
	first := g.waitLeaf(t, "d.example.test", p.roots)
	require.Eventually(t, func() bool {
		now, err := leaf(g.tls, "d.example.test", p.roots)
		return err == nil && now.SerialNumber.Cmp(first.SerialNumber) != 0
	}, 15*time.Second, 50*time.Millisecond, "log: %v", g.log)
	assert.Contains(t, p.log.String(), "is a replacement of")
}

// An authority that was set up anew does not know the account any more.
func TestACMERegistersAgain(t *testing.T) {
	p := startPebble(t)
	dir := t.TempDir()
	first := startGateway(t, p.options(dir, "e.example.test"), p.http, p.tls)
	first.waitLeaf(t, "e.example.test", p.roots)
	first.stop()
	key := first.acme.issuer.file("account.json")
	data, err := os.ReadFile(filepath.Join(dir, "acme", key))
	require.NoError(t, err)
	lost := bytes.Replace(data, []byte("/my-account/"), []byte("/my-account/0"), 1)
	require.NotEqual(t, string(data), string(lost))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "acme", key), lost, 0o600))

	httpDoor, err := net.Listen("tcp", p.http.Addr().String())
	require.NoError(t, err)
	tlsDoor, err := net.Listen("tcp", p.tls.Addr().String())
	require.NoError(t, err)
	second := startGateway(t, p.options(dir, "e.example.test", "f.example.test"), httpDoor, tlsDoor)
	second.waitLeaf(t, "f.example.test", p.roots)
	now, err := os.ReadFile(filepath.Join(dir, "acme", key))
	require.NoError(t, err)
	assert.JSONEq(t, string(data), string(now))
}

// Nothing is shared through variables of the process.
func TestTwoHostsInOneProcess(t *testing.T) {
	one, two := startPebble(t), startPebble(t)
	a := startGateway(t, one.options(t.TempDir(), "same.example.test"), one.http, one.tls)
	b := startGateway(t, two.options(t.TempDir(), "same.example.test"), two.http, two.tls)
	a.waitLeaf(t, "same.example.test", one.roots)
	b.waitLeaf(t, "same.example.test", two.roots)
	_, err := leaf(a.tls, "same.example.test", two.roots)
	assert.Error(t, err, "each has its own authority's")
}

func TestACMEOptionsAreChecked(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for want, o := range map[string]Options{
		"data_dir is empty":       {Mode: ACME},
		"want an https URL":       {Mode: ACME, DataDir: dir, ACME: ACMEOptions{Directory: "http://ca/dir"}},
		"no certificate in it":    {Mode: ACME, DataDir: dir, ACME: ACMEOptions{RootFile: empty}},
		"read acme root":          {Mode: ACME, DataDir: dir, ACME: ACMEOptions{RootFile: empty + "x"}},
		`acme challenge "dns-01"`: {Mode: ACME, DataDir: dir, ACME: ACMEOptions{Challenges: []string{"dns-01"}}},
		`mode "magic"`:            {Mode: "magic"},
	} {
		_, err := New(o)
		assert.ErrorContains(t, err, want)
	}
}
