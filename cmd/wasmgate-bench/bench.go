package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/wasmgate/wasmgate/examples/quickstart/identity"
)

// settings are the flags.
type settings struct {
	root        string // of the repository
	gateway     string // the wasmgate binary
	earlier     string // another one; empty is none
	rounds      int
	duration    time.Duration // of one load
	workers     int           // threads or processes of each gateway
	connections int           // of the load, and the keep-alive pool to the upstream
	rate        int           // open-loop requests a second
	idle        int           // idle connections
	reloads     int
	only        []string // peers; empty is all
}

// bench is what all rows share.
type bench struct {
	settings
	dir      string // of everything that the run writes, removed at its end
	caFile   string
	certFile string // chain, P-256
	keyFile  string
	pemFile  string // both, for HAProxy
	client   *http.Client
	upstream *upstream
	issuer   string
	token    string
	progress io.Writer
	servers  sync.WaitGroup
}

// newBench starts the upstream and the identity provider, which end with ctx; close waits.
func newBench(ctx context.Context, s settings, progress io.Writer) (*bench, error) {
	dir, err := os.MkdirTemp("", "wasmgate-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{settings: s, dir: dir, progress: progress}
	if err := b.start(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return b, nil
}

func (b *bench) start(ctx context.Context) error {
	if err := b.makeCertificates(); err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	var err error
	if b.upstream, err = startUpstream(ctx); err != nil {
		return fmt.Errorf("start the upstream: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start the identity provider: %w", err)
	}
	b.issuer = "http://" + listener.Addr().String()
	provider, err := identity.New(b.issuer)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: provider, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { server.Close() })
	b.servers.Go(func() { _ = server.Serve(listener) }) // ErrServerClosed
	b.token, err = provider.Token("bench", "bench", 24*time.Hour, nil)
	return err
}

// close waits for the servers, whose context has ended, and removes what the run wrote.
func (b *bench) close() error {
	b.servers.Wait()
	b.upstream.running.Wait()
	return os.RemoveAll(b.dir)
}

// makeCertificates writes a CA and a certificate of the key type that all gateways use.
func (b *bench) makeCertificates() error {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "wasmgate-bench CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	caDER, err := x509.CreateCertificate(rand.Reader, template, template, &caKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"},
		NotBefore: template.NotBefore, NotAfter: template.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, template, &key.PublicKey, caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	ca, cert, private := encode("CERTIFICATE", caDER), encode("CERTIFICATE", leafDER), encode("PRIVATE KEY", keyDER)
	b.caFile, b.certFile = filepath.Join(b.dir, "ca.pem"), filepath.Join(b.dir, "cert.pem")
	b.keyFile, b.pemFile = filepath.Join(b.dir, "key.pem"), filepath.Join(b.dir, "both.pem")

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca))
	b.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	return errors.Join(
		os.WriteFile(b.caFile, []byte(ca), 0o600),
		os.WriteFile(b.certFile, []byte(cert), 0o600),
		os.WriteFile(b.keyFile, []byte(private), 0o600),
		os.WriteFile(b.pemFile, []byte(cert+private), 0o600))
}

// find is the path of a program: from .cache, where bench-setup installs, the PATH, or
// where Debian keeps daemons.
func (b *bench) find(name string) (string, error) {
	for _, path := range []string{
		filepath.Join(b.root, ".cache/bin", name), filepath.Join(b.root, ".cache/envoy/bin", name),
		name, "/usr/sbin/" + name, "/usr/local/sbin/" + name,
	} {
		if found, err := exec.LookPath(path); err == nil {
			return filepath.Abs(found)
		}
	}
	return "", missing(name + " is not installed")
}

// missing says why a gateway or tool is left out.
type missing string

// Error is the reason.
func (m missing) Error() string { return string(m) }

// freePort is a port that was free a moment ago, for programs that cannot tell theirs.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
