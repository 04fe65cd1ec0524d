package host_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/tls/tlstest"
)

const acmeName = "api.example.test"

// withACME is a gateway that gets the certificate of its only domain by one challenge.
func withACME(p *tlstest.Pebble, upstream, challenge string) files {
	return files{
		"wasmgate.yaml": fmt.Sprintf("tls: {mode: acme, acme: {email: ops@example.test, directory: %q, domains: [%s], ca_root: %q, http_challenge: %v, tls_alpn_challenge: %v}}\n",
			p.Directory, acmeName, p.RootFile, challenge == "http-01", challenge == "tls-alpn-01"),
		"apis/a.yaml": document("x-wasmgate-api: {id: a, domains: ["+acmeName+"]}", `/x: {get: {`+proxy(upstream+"/x")+`}}`),
	}
}

// startACME starts a gateway; p, when it is not nil, knows where its doors are then.
func startACME(t *testing.T, p *tlstest.Pebble, content files) *gateway {
	g := start(t, content)
	if p != nil {
		p.Validate(portOf(t, g.http), portOf(t, g.https))
	}
	return g
}

func portOf(t *testing.T, address string) int {
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	return n
}

// leaf is the certificate of the gateway's only domain, when it has one.
func (g *gateway) leaf(roots *x509.CertPool) (*x509.Certificate, error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", g.https, &tls.Config{ServerName: acmeName, RootCAs: roots})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}

func (g *gateway) serves(t *testing.T, roots *x509.CertPool) {
	t.Helper()
	g.roots = roots
	for _, c := range []*http.Client{g.client(false), g.client(true)} {
		assert.Equal(t, "GET /x", get(t, c, "https://"+acmeName+"/x").body)
		c.CloseIdleConnections()
	}
}

// TestACME gets a certificate through the gateway's own doors, and keeps it over a restart
// while the authority is down.
func TestACME(t *testing.T) {
	up := serve(t, nil)
	for _, challenge := range []string{"tls-alpn-01", "http-01"} {
		t.Run(challenge, func(t *testing.T) {
			p := tlstest.Start(t)
			content := withACME(p, up.URL, challenge)
			g := startACME(t, p, content)
			var first *x509.Certificate
			await(t, "the certificate", func() bool {
				var err error
				first, err = g.leaf(p.Roots)
				return err == nil
			})
			g.serves(t, p.Roots)
			assert.EqualValues(t, 1, p.Orders())
			for _, c := range g.status().Certificates {
				if c.Names[0] == acmeName {
					assert.Empty(t, c.Error)
					assert.True(t, first.NotAfter.Equal(*c.NotAfter))
				}
			}
			_, err := tls.Dial("tcp", g.https, &tls.Config{ServerName: "stranger.example.test", RootCAs: p.Roots})
			assert.ErrorContains(t, err, "unrecognized name")
			require.NoError(t, g.Close())

			p.SetDown(true)
			again := files{}
			for name, text := range content {
				again[name] = text
			}
			for _, name := range storedIn(t, g.dir) {
				data, err := os.ReadFile(filepath.Join(g.dir, name))
				require.NoError(t, err)
				again[name] = string(data)
			}
			restarted := startACME(t, nil, again)
			now, err := restarted.leaf(p.Roots)
			require.NoError(t, err, "what is stored serves from the first handshake")
			assert.Equal(t, first.SerialNumber, now.SerialNumber)
			restarted.serves(t, p.Roots)
			assert.EqualValues(t, 1, p.Orders())
		})
	}
}

// storedIn is the files that ACME left in a gateway's data_dir.
func storedIn(t *testing.T, dir string) (names []string) {
	require.NoError(t, filepath.WalkDir(filepath.Join(dir, "data", "acme"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "/locks/") {
			return err
		}
		name, err := filepath.Rel(dir, path)
		names = append(names, name)
		return err
	}))
	require.NotEmpty(t, names)
	return names
}

// TestACMEWhileTheAuthorityIsDown starts a gateway that cannot have its certificate yet: it
// runs, says why, and gets on with what does not need one.
func TestACMEWhileTheAuthorityIsDown(t *testing.T) {
	p := tlstest.Start(t)
	p.SetDown(true)
	g := startACME(t, p, withACME(p, "http://127.0.0.1:1", "tls-alpn-01"))
	await(t, "the reason", func() bool { return strings.Contains(g.adminGet("/readyz"), "register acme account") })
	assert.True(t, g.status().Ready)
	_, err := g.leaf(p.Roots)
	assert.ErrorContains(t, err, "unrecognized name")
	resp, _, err := fetch(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		http.MethodGet, "http://"+g.http+"/x", nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusPermanentRedirect, resp.StatusCode)
}

// TestACMEConnection closes a connection that negotiated acme-tls/1 right after the
// handshake, or refuses it when no challenge is open: it is no way in (RFC 8737 3).
func TestACMEConnection(t *testing.T) {
	p := tlstest.Start(t) // it never answers, so that nothing is ever open
	g := startACME(t, nil, withACME(p, "http://127.0.0.1:1", "tls-alpn-01"))
	defer p.SetDown(true)
	for _, name := range []string{acmeName, "stranger.example.test"} {
		c, err := tls.Dial("tcp", g.https, &tls.Config{ServerName: name, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true})
		if err == nil {
			io.WriteString(c, "GET /x HTTP/1.1\r\nHost: "+acmeName+"\r\n\r\n")
			data, _ := io.ReadAll(c)
			assert.Empty(t, data)
			c.Close()
		}
		assert.ErrorContains(t, err, "unrecognized name")
	}
}
