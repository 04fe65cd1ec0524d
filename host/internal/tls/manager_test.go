package tls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	stdtls "crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Pebble has no way to end.
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"),
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.(*VAImpl).processTasks"),
		// certmagic's file locks: each ends by itself within 5 s of the unlock.
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"))
}

func internalGateway(t *testing.T, o Options) (*gateway, *x509.CertPool) {
	g := startGateway(t, o, listen(t), listen(t))
	path, fingerprint, ok := g.Authority()
	require.True(t, ok)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Len(t, fingerprint, 32*3-1)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(data))
	return g, roots
}

func TestInternalServesItsNamesOnly(t *testing.T) {
	g, roots := internalGateway(t, Options{DataDir: t.TempDir(), Names: []string{"192.0.2.7"}})
	g.SetNames([]string{"API.example.com", "*.wild.example.com", "shop.execute-api.localhost"})
	for name, ok := range map[string]bool{
		"127.0.0.1": true, "::1": true, "192.0.2.7": true, "192.0.2.8": false, // no SNI: the base leaf
		"localhost": true, "LocalHost": true, "shop.execute-api.localhost": true, "other.execute-api.localhost": true,
		"a.b.execute-api.localhost": false, "execute-api.localhost": false,
		"api.example.com": true, "Api.Example.COM": true, "b.api.example.com": false,
		"x.wild.example.com": true, "x.y.wild.example.com": false, "wild.example.com": false,
		"example.com": false, "com": false,
	} {
		_, err := leaf(g.tls, name, roots)
		assert.Equal(t, ok, err == nil, "%s: %v", name, err)
	}
	// However many names strangers ask for, there is one leaf for each served one.
	for i := range 200 {
		_, err := leaf(g.tls, fmt.Sprintf("n%d.wild.example.com", i), roots)
		require.NoError(t, err)
	}
	assert.Len(t, g.Status(), 4, "authority, base, api and wild")
	g.SetNames(nil)
	_, err := leaf(g.tls, "api.example.com", roots)
	assert.ErrorContains(t, err, "unrecognized name")
	assert.Len(t, g.Status(), 2)
}

func TestInternalIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	first, roots := internalGateway(t, Options{DataDir: dir})
	_, print1, _ := first.Authority()
	info, err := os.Stat(filepath.Join(dir, "ca", "ca.key"))
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, info.Mode().Perm())
	second, _ := internalGateway(t, Options{DataDir: dir})
	_, print2, _ := second.Authority()
	assert.Equal(t, print1, print2)
	_, err = leaf(second.tls, "localhost", roots)
	assert.NoError(t, err)

	require.NoError(t, os.Chmod(filepath.Join(dir, "ca", "ca.key"), 0o644))
	_, err = New(Options{DataDir: dir})
	assert.ErrorContains(t, err, "want 0600")
	require.NoError(t, os.Remove(filepath.Join(dir, "ca", "ca.key")))
	_, err = New(Options{DataDir: dir})
	assert.ErrorContains(t, err, "to make a new authority remove")
	_, err = New(Options{DataDir: t.TempDir(), Now: func() time.Time { return time.Time{} }})
	assert.NoError(t, err)
	_, err = New(Options{})
	assert.ErrorContains(t, err, "data_dir is empty")
}

func TestInternalRenewsAndEnds(t *testing.T) {
	now, dir := time.Now(), t.TempDir()
	clock := func() time.Time { return now }
	m, err := New(Options{DataDir: dir, Now: clock})
	require.NoError(t, err)
	get := func() *stdtls.Certificate {
		c, err := m.Config().GetCertificate(&stdtls.ClientHelloInfo{ServerName: "localhost"})
		require.NoError(t, err)
		return c
	}
	first := get()
	now = now.Add(leafLife - leafRenewal - time.Second)
	assert.Same(t, first, get())
	now = now.Add(2 * time.Second)
	assert.NotSame(t, first, get())
	now = m.local.cert.NotAfter.Add(-time.Hour)
	last := get()
	assert.Equal(t, m.local.cert.NotAfter, last.Leaf.NotAfter, "no leaf outlives its authority")
	assert.Same(t, last, get(), "and it is not made anew for each handshake")
	now = now.Add(2 * time.Hour)
	_, err = New(Options{DataDir: dir, Now: clock})
	assert.ErrorContains(t, err, "remove it to make a new authority")
}

func TestProtocols(t *testing.T) {
	g, roots := internalGateway(t, Options{DataDir: t.TempDir()})
	dial := func(c *stdtls.Config) (stdtls.ConnectionState, error) {
		c.ServerName, c.RootCAs = "localhost", roots
		conn, err := stdtls.Dial("tcp", g.tls.Addr().String(), c)
		if err != nil {
			return stdtls.ConnectionState{}, err
		}
		defer conn.Close()
		return conn.ConnectionState(), nil
	}
	s, err := dial(&stdtls.Config{NextProtos: []string{"http/1.1", "h2"}})
	require.NoError(t, err)
	assert.Equal(t, "h2", s.NegotiatedProtocol)
	s, err = dial(&stdtls.Config{})
	require.NoError(t, err)
	assert.Empty(t, s.NegotiatedProtocol)
	_, err = dial(&stdtls.Config{NextProtos: []string{ACMEProtocol}})
	assert.ErrorContains(t, err, "no application protocol")
	_, err = dial(&stdtls.Config{MaxVersion: stdtls.VersionTLS11, MinVersion: stdtls.VersionTLS10})
	assert.ErrorContains(t, err, "protocol version")
	_, err = dial(&stdtls.Config{MaxVersion: stdtls.VersionTLS12, CipherSuites: []uint16{
		stdtls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, stdtls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}})
	assert.ErrorContains(t, err, "handshake failure")
	s, err = dial(&stdtls.Config{MaxVersion: stdtls.VersionTLS12})
	require.NoError(t, err)
	assert.EqualValues(t, stdtls.VersionTLS12, s.Version)
}

// writePair makes a self-signed pair in dir and gives its certificate.
func writePair(t *testing.T, dir string, useRSA bool, names ...string) (Pair, *x509.Certificate) {
	a := &authority{now: time.Now}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	var public, private any = a.key.Public(), a.key
	if useRSA {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(t, err)
		public, private = key.Public(), key
	}
	template := &x509.Certificate{SerialNumber: serial(), DNSNames: names, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	p := Pair{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	require.NoError(t, writeFile(p.Certificate, 0o600, &pem.Block{Type: "CERTIFICATE", Bytes: der}))
	require.NoError(t, writeFile(p.Key, 0o600, &pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return p, cert
}

func TestFilesChoose(t *testing.T) {
	dir := t.TempDir()
	p1, first := writePair(t, dir+"/1", false, "first.example.com")
	p2, wild := writePair(t, dir+"/2", false, "*.example.com")
	p3, exact := writePair(t, dir+"/3", false, "api.example.com")
	p4, old := writePair(t, dir+"/4", true, "api.example.com")
	m, err := New(Options{Mode: Files, Pairs: []Pair{p1, p2, p3, p4}})
	require.NoError(t, err)
	defer m.Close()
	choose := func(name string, schemes ...stdtls.SignatureScheme) *x509.Certificate {
		server, client := net.Pipe()
		defer server.Close()
		defer client.Close()
		c, err := m.Config().GetCertificate(&stdtls.ClientHelloInfo{
			ServerName: name, SignatureSchemes: schemes, SupportedVersions: []uint16{stdtls.VersionTLS13},
			CipherSuites: []uint16{stdtls.TLS_AES_128_GCM_SHA256}, SupportedCurves: []stdtls.CurveID{stdtls.X25519}, Conn: server,
		})
		require.NoError(t, err)
		return c.Leaf
	}
	assert.True(t, choose("API.example.com", stdtls.ECDSAWithP256AndSHA256, stdtls.PSSWithSHA256).Equal(exact))
	assert.True(t, choose("api.example.com", stdtls.PSSWithSHA256).Equal(old), "for a client without ECDSA")
	assert.True(t, choose("x.example.com").Equal(wild))
	assert.True(t, choose("x.y.example.com").Equal(first))
	assert.True(t, choose("").Equal(first))
}

func filesGateway(t *testing.T, p ...Pair) *gateway {
	return startGateway(t, Options{Mode: Files, Pairs: p}, listen(t), listen(t))
}

func (g *gateway) waitFor(t *testing.T, want *x509.Certificate) {
	roots := x509.NewCertPool()
	roots.AddCert(want)
	require.Eventually(t, func() bool {
		got, err := leaf(g.tls, want.DNSNames[0], roots)
		return err == nil && got.Equal(want)
	}, 5*time.Second, 20*time.Millisecond, "log: %v", g.log)
}

func TestFilesAreReloaded(t *testing.T) {
	t.Run("renamed into place", func(t *testing.T) {
		dir := t.TempDir()
		p, was := writePair(t, dir, false, "a.example.com")
		g := filesGateway(t, p)
		g.waitFor(t, was)
		_, is := writePair(t, dir, false, "a.example.com")
		g.waitFor(t, is)
		assert.Contains(t, g.log.String(), "certificate replaced")
	})
	t.Run("kubernetes volume", func(t *testing.T) {
		dir := t.TempDir()
		_, was := writePair(t, dir+"/..1", false, "a.example.com")
		require.NoError(t, os.Symlink("..1", dir+"/..data"))
		require.NoError(t, os.Symlink("..data/tls.crt", dir+"/tls.crt"))
		require.NoError(t, os.Symlink("..data/tls.key", dir+"/tls.key"))
		g := filesGateway(t, Pair{dir + "/tls.crt", dir + "/tls.key"})
		g.waitFor(t, was)
		_, is := writePair(t, dir+"/..2", false, "a.example.com")
		require.NoError(t, os.Symlink("..2", dir+"/..tmp"))
		require.NoError(t, os.Rename(dir+"/..tmp", dir+"/..data"))
		g.waitFor(t, is)
	})
	t.Run("changed before run", func(t *testing.T) {
		dir := t.TempDir()
		p, _ := writePair(t, dir, false, "a.example.com")
		m, err := New(Options{Mode: Files, Pairs: []Pair{p}, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		_, is := writePair(t, dir, false, "a.example.com")
		done := make(chan struct{})
		go func() { defer close(done); m.Run(t.Context()) }()
		require.Eventually(t, func() bool {
			return m.Status()[0].NotAfter.Equal(is.NotAfter) && m.source.(*pairs).loaded.Load().pairs[0].cert.Leaf.Equal(is)
		},
			5*time.Second, 20*time.Millisecond)
		m.Close()
		<-done
	})
}

func TestBadFilesKeepTheOldPair(t *testing.T) {
	dir := t.TempDir()
	p, was := writePair(t, dir, false, "a.example.com")
	g := filesGateway(t, p)
	require.NoError(t, os.WriteFile(p.Certificate, []byte("garbage"), 0o600))
	require.Eventually(t, func() bool { return g.Status()[0].Err != nil }, 5*time.Second, 20*time.Millisecond)
	g.waitFor(t, was)
	assert.Equal(t, 1, strings.Count(g.log.String(), "certificate is refused, the old one serves on"))
	require.NoError(t, os.Remove(p.Certificate))
	require.Eventually(t, func() bool {
		err := g.Status()[0].Err
		return err != nil && strings.Contains(err.Error(), "no such file")
	}, 5*time.Second, 20*time.Millisecond)
	_, is := writePair(t, dir, false, "a.example.com")
	g.waitFor(t, is)
	assert.NoError(t, g.Status()[0].Err)
}

func TestEveryBadPairIsReported(t *testing.T) {
	dir := t.TempDir()
	p1, _ := writePair(t, dir+"/1", false, "a.example.com")
	p2, _ := writePair(t, dir+"/2", false, "b.example.com")
	_, err := New(Options{Mode: Files, Pairs: []Pair{p1, {p1.Certificate, p2.Key}, {dir + "/none", p2.Key}}})
	assert.ErrorContains(t, err, "private key does not match")
	assert.ErrorContains(t, err, "none")
	_, err = New(Options{Mode: Files})
	assert.ErrorContains(t, err, "want one pair at least")
}

func TestLowestVersion(t *testing.T) {
	m, err := New(Options{DataDir: t.TempDir(), MinVersion: stdtls.VersionTLS13})
	require.NoError(t, err)
	assert.EqualValues(t, stdtls.VersionTLS13, m.Config().MinVersion)
	_, err = New(Options{DataDir: t.TempDir(), MinVersion: stdtls.VersionTLS11})
	assert.ErrorContains(t, err, "lowest version TLS 1.1")
}

func TestRunAndCloseInAnyOrder(t *testing.T) {
	m, err := New(Options{DataDir: t.TempDir()})
	require.NoError(t, err)
	require.NoError(t, m.Close())
	require.NoError(t, m.Close())
	assert.NoError(t, m.Run(t.Context()), "after Close it returns at once")
}

func BenchmarkChoose(b *testing.B) {
	m, err := New(Options{DataDir: b.TempDir()})
	require.NoError(b, err)
	hello := &stdtls.ClientHelloInfo{ServerName: "shop.execute-api.localhost"}
	b.ReportAllocs()
	for b.Loop() {
		if c, err := m.Config().GetCertificate(hello); c == nil || err != nil {
			b.Fatal(c, err)
		}
	}
}

func TestRefresh(t *testing.T) {
	p, was := writePair(t, t.TempDir(), false, "a.example.com")
	m, err := New(Options{Mode: Files, Pairs: []Pair{p}, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer m.Close()
	serves := func() *x509.Certificate {
		c, err := m.Config().GetCertificate(&stdtls.ClientHelloInfo{ServerName: "a.example.com"})
		require.NoError(t, err)
		return c.Leaf
	}
	_, is := writePair(t, filepath.Dir(p.Certificate), false, "a.example.com")
	require.True(t, serves().Equal(was))
	m.Refresh()
	require.True(t, serves().Equal(is))
	require.NoError(t, os.Remove(p.Key))
	m.Refresh()
	require.True(t, serves().Equal(is))
	require.ErrorContains(t, m.Status()[0].Err, "no such file")

	internal, err := New(Options{DataDir: t.TempDir()})
	require.NoError(t, err)
	internal.Refresh()
}
