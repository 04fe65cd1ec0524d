package host_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// upstreamCA is a certificate authority of a test.
type upstreamCA struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newUpstreamCA(t *testing.T, name string) *upstreamCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &upstreamCA{certificate, key}
}

// issue makes a certificate for 127.0.0.1, changed by change; a nil authority's is
// self-signed.
func (a *upstreamCA) issue(t *testing.T, change func(c *x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "upstream"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		KeyUsage: x509.KeyUsageDigitalSignature, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	if change != nil {
		change(template)
	}
	parent, signer := template, key
	if a != nil {
		parent, signer = a.certificate, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// The certificate of an upstream is verified unless the API says otherwise: whatever is
// wrong with it is a 502 with its reason in the log, and no request is sent.
func TestUpstreamCertificates(t *testing.T) {
	ours, theirs := newUpstreamCA(t, "ours"), newUpstreamCA(t, "theirs")
	hour := time.Hour
	for name, tt := range map[string]struct {
		certificate tls.Certificate
		versions    [2]uint16 // the lowest and the highest; 0 is the default
		reason      string    // empty is a request that arrives
	}{
		"right":                    {certificate: ours.issue(t, nil)},
		"TLS 1.2":                  {certificate: ours.issue(t, nil), versions: [2]uint16{0, tls.VersionTLS12}},
		"TLS 1.1":                  {ours.issue(t, nil), [2]uint16{tls.VersionTLS10, tls.VersionTLS11}, "protocol version not supported"},
		"expired":                  {certificate: ours.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-hour) }), reason: "certificate has expired"},
		"not yet":                  {certificate: ours.issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(hour) }), reason: "not yet valid"},
		"wrong name":               {certificate: ours.issue(t, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.example"} }), reason: "cannot validate certificate for 127.0.0.1"},
		"wrong IP":                 {certificate: ours.issue(t, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 2)} }), reason: "certificate is valid for 127.0.0.2, not 127.0.0.1"},
		"name only in the subject": {certificate: ours.issue(t, func(c *x509.Certificate) { c.IPAddresses, c.Subject.CommonName = nil, "127.0.0.1" }), reason: "legacy Common Name"},
		"self-signed":              {certificate: (*upstreamCA)(nil).issue(t, nil), reason: "unknown authority"},
		"of another authority":     {certificate: theirs.issue(t, nil), reason: "unknown authority"},
		"for clients":              {certificate: ours.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), reason: "incompatible key usage"},
	} {
		t.Run(name, func(t *testing.T) {
			u := unstarted(nil)
			u.TLS = &tls.Config{Certificates: []tls.Certificate{tt.certificate}, MinVersion: tt.versions[0], MaxVersion: tt.versions[1]}
			u.StartTLS()
			t.Cleanup(u.Close)
			ca := filepath.Join(t.TempDir(), "ca.pem")
			require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ours.certificate.Raw}), 0o600))
			g := start(t, files{"apis/a.yaml": document(`x-wasmgate-api: {id: api}`,
				`/x: {get: {`+proxy(u.URL)+`}}`,
				`/trusting: {get: {`+proxy(u.URL, "tlsConfig: {insecureSkipVerification: true}")+`}}`),
				"wasmgate.yaml": "upstreams: {ca_file: " + ca + "}"})
			g.each(t, func(t *testing.T, c *http.Client) {
				a := get(t, c, site+"/x")
				if tt.reason == "" {
					require.Equal(t, "GET /", a.body)
					return
				}
				isError(t, a, 502, "InternalServerErrorException", "Internal server error")
				require.Zero(t, u.count())
				id := a.Header.Get("X-Amzn-Requestid")
				for line := range strings.Lines(g.log.String()) {
					if strings.Contains(line, id) {
						assert.Contains(t, line, "call upstream: tls: ")
						assert.Contains(t, line, tt.reason)
						return
					}
				}
				t.Errorf("nothing in the log about request %s", id)
			})
			if tt.reason != "" && name != "TLS 1.1" {
				assert.Equal(t, "GET /", get(t, g.h1, site+"/trusting").body, "not verified where the API says so")
			}
		})
	}
}
