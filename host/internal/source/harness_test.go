package source

import (
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wasmgate/wasmgate/host/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const maxBytes = 1 << 20

// module is bytes that could be one; nothing here looks inside.
func module(name string) []byte {
	return []byte("\x00asm\x01\x00\x00\x00" + strings.Repeat(name, 1000))
}

// sources keeps in a folder of its own, which it gives.
func sources(t testing.TB, o Options) (*Sources, string) {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "plugins")
	}
	o.MaxBytes = maxBytes
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	s, err := New(o)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s, o.Dir
}

func parse(t testing.TB, text string) model.Source {
	t.Helper()
	s, err := model.ParseSource(text)
	require.NoError(t, err)
	return s
}

// accept loads and keeps, as the gateway does with what it found good.
func accept(t testing.TB, s *Sources, from, digest string) *Artifact {
	t.Helper()
	a, err := s.Load(t.Context(), parse(t, from), digest)
	require.NoError(t, err)
	require.NoError(t, s.Keep(a))
	return a
}

// server is an HTTPS server with a CA of its own.
func server(t testing.TB, h http.HandlerFunc) (*httptest.Server, *x509.CertPool) {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s, roots
}

// oras runs the program of that name, which knows nothing of us.
func oras(t testing.TB, dir string, args ...string) string {
	t.Helper()
	path, err := filepath.Abs("../../../.cache/bin/oras")
	require.NoError(t, err)
	_, err = os.Stat(path)
	require.NoError(t, err, "run `make setup`")
	c := exec.CommandContext(t.Context(), path, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "HOME="+dir, "DOCKER_CONFIG="+dir)
	out, err := c.CombinedOutput()
	require.NoError(t, err, "oras %q: %s", args, out)
	return string(out)
}

// certificate is files with a certificate for 127.0.0.1 and its key, and who vouches for it.
func certificate(t testing.TB) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	out, err := exec.CommandContext(t.Context(), "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-keyout", key, "-out", cert).CombinedOutput()
	require.NoError(t, err, "%s", out)
	pem, err := os.ReadFile(cert)
	require.NoError(t, err)
	roots, err = Roots(pem)
	require.NoError(t, err)
	return cert, key, roots
}
