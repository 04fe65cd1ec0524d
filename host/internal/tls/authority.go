package tls

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	stdtls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 7 * 24 * time.Hour
	leafRenewal   = leafLife / 3 // the remaining time at which a leaf is replaced
	backdate      = time.Hour    // for clients whose clock is behind
)

// authority is the source of the mode Internal. Leaves live in memory only, at most one
// for each served name: a client cannot make it issue more.
type authority struct {
	path string // of the certificate
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time

	mu     sync.RWMutex
	served map[string]bool                // names and wildcards
	ips    []string                       // addresses that the base leaf covers
	leaves map[string]*stdtls.Certificate // by served name; "" is the base leaf
}

// The base leaf answers without SNI and for these names; *.localhost is not among them
// because many clients refuse a wildcard right below a top-level name.
var (
	baseNames = [...]string{"localhost", "*.execute-api.localhost"}
	baseIPs   = [...]string{"127.0.0.1", "::1"}
)

// openAuthority reads dir/ca.crt and dir/ca/ca.key, or makes both.
func openAuthority(dir string, now func() time.Time) (*authority, error) {
	if dir == "" {
		return nil, errors.New("data_dir is empty, want a directory for the local authority")
	}
	a := &authority{path: filepath.Join(dir, "ca.crt"), now: now, leaves: map[string]*stdtls.Certificate{}}
	keyPath := filepath.Join(dir, "ca", "ca.key")
	_, err := os.Stat(a.path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := a.create(keyPath); err != nil {
			return nil, fmt.Errorf("make local authority: %w", err)
		}
		return a, nil
	}
	if err == nil {
		err = a.load(keyPath)
	}
	if err != nil {
		return nil, fmt.Errorf("read local authority: %w", err)
	}
	return a, nil
}

func (a *authority) load(keyPath string) error {
	info, err := os.Stat(keyPath)
	if err != nil {
		return fmt.Errorf("%w; to make a new authority remove %q", err, a.path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%q has mode %#o, want 0600: others can read the authority's key", keyPath, info.Mode().Perm())
	}
	pair, err := stdtls.LoadX509KeyPair(a.path, keyPath)
	if err != nil {
		return err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return fmt.Errorf("%q is not an ECDSA certificate authority", a.path)
	}
	if a.now().After(pair.Leaf.NotAfter) {
		return fmt.Errorf("%q ended %s; remove it to make a new authority", a.path, pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	a.cert, a.key = pair.Leaf, key
	return nil
}

// create writes the key before the certificate: a certificate without its key would be
// refused at the next start, a key without a certificate is replaced.
func (a *authority) create(keyPath string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"Wasmgate"}, CommonName: "Wasmgate local authority " + host},
		NotBefore:             a.now().Add(-backdate),
		NotAfter:              a.now().Add(authorityLife),
		IsCA:                  true,
		MaxPathLenZero:        true, // it signs leaves only
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	a.key = key
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(keyPath), 0o700); err != nil {
		return err
	}
	if err := writeFile(keyPath, 0o600, &pem.Block{Type: "PRIVATE KEY", Bytes: secret}); err != nil {
		return err
	}
	return writeFile(a.path, 0o644, &pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// writeFile replaces path at once, so that no reader and no crash sees half of it.
func writeFile(path string, mode fs.FileMode, block *pem.Block) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	err = errors.Join(f.Chmod(mode), pem.Encode(f, block), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (a *authority) fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

func (a *authority) setNames(names []string) {
	served, ips := map[string]bool{}, append([]string(nil), baseIPs[:]...)
	for _, n := range names {
		if _, err := netip.ParseAddr(n); err == nil {
			ips = append(ips, n)
		} else {
			served[n] = true
		}
	}
	ips = normalize(ips)
	a.mu.Lock()
	defer a.mu.Unlock()
	if strings.Join(ips, " ") != strings.Join(a.ips, " ") {
		delete(a.leaves, "")
	}
	for n := range a.leaves {
		if n != "" && !served[n] {
			delete(a.leaves, n)
		}
	}
	a.served, a.ips = served, ips
}

func (a *authority) certificate(hello *stdtls.ClientHelloInfo) (*stdtls.Certificate, error) {
	name := strings.ToLower(hello.ServerName)
	if _, err := netip.ParseAddr(name); err == nil {
		name = "" // some clients (wrk) send an address, which is no server name (RFC 6066 section 3)
	}
	a.mu.RLock()
	key, ok := a.keyFor(name)
	leaf := a.leaves[key]
	a.mu.RUnlock()
	if !ok {
		return nil, nil // unrecognized_name
	}
	if a.fresh(leaf) {
		return leaf, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if key, ok = a.keyFor(name); !ok { // the names may have changed in between
		return nil, nil
	}
	if leaf = a.leaves[key]; a.fresh(leaf) {
		return leaf, nil
	}
	leaf, err := a.issue(key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %q: %w", name, err)
	}
	a.leaves[key] = leaf
	return leaf, nil
}

// fresh tells whether leaf can be served; one that ends with its authority always can,
// since another would end then too.
func (a *authority) fresh(leaf *stdtls.Certificate) bool {
	return leaf != nil && (leaf.Leaf.NotAfter.Sub(a.now()) > leafRenewal || leaf.Leaf.NotAfter.Equal(a.cert.NotAfter))
}

// keyFor names the leaf that answers for name; a.mu is held.
func (a *authority) keyFor(name string) (key string, ok bool) {
	pattern := wildcard(name)
	switch {
	case name == "", name == baseNames[0], pattern == baseNames[1]:
		return "", true
	case a.served[name]:
		return name, true
	case a.served[pattern]:
		return pattern, true
	}
	return "", false
}

func (a *authority) issue(name string) (*stdtls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		NotBefore:    a.now().Add(-backdate),
		NotAfter:     earlier(a.now().Add(leafLife), a.cert.NotAfter),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{name},
	}
	if name == "" {
		template.DNSNames = baseNames[:]
		for _, ip := range a.ips {
			addr, err := netip.ParseAddr(ip)
			if err != nil {
				return nil, err
			}
			template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &stdtls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// run has nothing to do: leaves are renewed by the handshake that finds them old.
func (a *authority) run(ctx context.Context) { <-ctx.Done() }

func (a *authority) close() {}

func (a *authority) status() []CertStatus {
	s := []CertStatus{{Names: []string{a.cert.Subject.CommonName}, NotAfter: a.cert.NotAfter, Source: string(Internal)}}
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, l := range a.leaves {
		s = append(s, CertStatus{Names: l.Leaf.DNSNames, NotAfter: l.Leaf.NotAfter, Source: string(Internal)})
	}
	return s
}

// serial is 127 random bits, above the 64 that the CA/Browser Forum asks for.
func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b) // never fails: crypto/rand
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
