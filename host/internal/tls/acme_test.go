package tls

import (
	"bytes"
	"context"
	stdtls "crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/tls/tlstest"
)

// pebble is an authority that validates at the two doors of a gateway.
type pebble struct {
	*tlstest.Pebble
	http, tls net.Listener
}

func listen(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

func startPebble(t *testing.T) *pebble {
	return validating(t, tlstest.Start(t))
}

func validating(t *testing.T, authority *tlstest.Pebble) *pebble {
	p := &pebble{authority, listen(t), listen(t)}
	p.Validate(port(p.http), port(p.tls))
	return p
}

// gateway is a Manager with the two doors that an authority knocks at.
type gateway struct {
	*Manager
	http, tls net.Listener
	log       *tlstest.Log
	stop      func()
}

func (p *pebble) options(dir string, names ...string) Options {
	return Options{Mode: ACME, DataDir: dir, Names: names, ACME: ACMEOptions{
		Directory: p.Directory, RootFile: p.RootFile, Email: "ops@example.test",
		RetryMin: 50 * time.Millisecond, RenewCheck: 100 * time.Millisecond,
	}}
}

func startGateway(t *testing.T, o Options, httpDoor, tlsDoor net.Listener) *gateway {
	g := &gateway{http: httpDoor, tls: tlsDoor, log: &tlstest.Log{}}
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
			cert := g.waitLeaf(t, "api.example.test", p.Roots)
			assert.Equal(t, []string{"api.example.test"}, cert.DNSNames)
			assert.EqualValues(t, 1, p.Orders())

			status := g.Status()
			require.Len(t, status, 1)
			assert.NoError(t, status[0].Err)
			assert.Equal(t, cert.NotAfter, status[0].NotAfter)

			_, err := leaf(g.tls, "other.example.test", p.Roots)
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
	before := first.waitLeaf(t, "a.example.test", p.Roots)
	first.stop()

	p.SetDown(true) // it is not even asked
	second := startGateway(t, p.options(dir, "a.example.test"), listen(t), listen(t))
	after, err := leaf(second.tls, "a.example.test", p.Roots)
	require.NoError(t, err, "a stored certificate serves from the first handshake")
	assert.Equal(t, before.SerialNumber, after.SerialNumber)
	assert.EqualValues(t, 1, p.Orders())

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
	_, err = leaf(second.tls, "a.example.test", p.Roots)
	assert.NoError(t, err, "a configured name stays")
}

func TestACMEStartsWhileTheAuthorityIsDown(t *testing.T) {
	p := startPebble(t)
	p.SetDown(true)
	g := startGateway(t, p.options(t.TempDir(), "c.example.test"), p.http, p.tls)
	require.Eventually(t, func() bool {
		s := g.Status()
		return len(s) == 1 && s[0].Err != nil && strings.Contains(s[0].Err.Error(), "register acme account")
	}, 15*time.Second, 10*time.Millisecond)
	_, err := leaf(g.tls, "c.example.test", p.Roots)
	require.ErrorContains(t, err, "unrecognized name")
	assert.Contains(t, g.log.String(), "certificate is not to be had")

	p.SetDown(false)
	g.waitLeaf(t, "c.example.test", p.Roots)
	assert.NoError(t, g.Status()[0].Err)
}

func TestACMERenewsAndNamesTheReplaced(t *testing.T) {
	p := validating(t, tlstest.StartBrief(t))
	o := p.options(t.TempDir(), "d.example.test")
	o.ACME.Profile = "brief" // 4 s
	g := startGateway(t, o, p.http, p.tls)
	first := g.waitLeaf(t, "d.example.test", p.Roots)
	require.Eventually(t, func() bool {
		now, err := leaf(g.tls, "d.example.test", p.Roots)
		return err == nil && now.SerialNumber.Cmp(first.SerialNumber) != 0
	}, 15*time.Second, 50*time.Millisecond, "log: %v", g.log)
	assert.Contains(t, p.Log(), "is a replacement of")
}

// An authority that was set up anew does not know the account any more.
func TestACMERegistersAgain(t *testing.T) {
	p := startPebble(t)
	dir := t.TempDir()
	first := startGateway(t, p.options(dir, "e.example.test"), p.http, p.tls)
	first.waitLeaf(t, "e.example.test", p.Roots)
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
	second.waitLeaf(t, "f.example.test", p.Roots)
	now, err := os.ReadFile(filepath.Join(dir, "acme", key))
	require.NoError(t, err)
	assert.JSONEq(t, string(data), string(now))
}

// Nothing is shared through variables of the process.
func TestTwoHostsInOneProcess(t *testing.T) {
	one, two := startPebble(t), startPebble(t)
	a := startGateway(t, one.options(t.TempDir(), "same.example.test"), one.http, one.tls)
	b := startGateway(t, two.options(t.TempDir(), "same.example.test"), two.http, two.tls)
	a.waitLeaf(t, "same.example.test", one.Roots)
	b.waitLeaf(t, "same.example.test", two.Roots)
	_, err := leaf(a.tls, "same.example.test", two.Roots)
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
