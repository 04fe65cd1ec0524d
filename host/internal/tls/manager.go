package tls

import (
	"cmp"
	"context"
	stdtls "crypto/tls"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// ACMEProtocol is the ALPN protocol of tls-alpn-01. A connection that negotiated it
// carries no request: close it after the handshake (RFC 8737 section 3).
const ACMEProtocol = "acme-tls/1"

// Mode is where certificates come from.
type Mode string

// The modes.
const (
	Internal Mode = "internal" // a local authority in the data directory
	Files    Mode = "files"    // pairs of PEM files
	ACME     Mode = "acme"     // an ACME authority
)

// Options are the choices of a [Manager].
type Options struct {
	// Mode is Internal when empty.
	Mode Mode
	// DataDir holds the local authority and what ACME issued; needed by both.
	DataDir string
	// Names are served from the start, whatever the snapshot: DNS names, and in the mode
	// Internal also wildcards and IP addresses.
	Names []string
	// Pairs are the files of the mode Files; the first answers where none matches.
	Pairs []Pair
	// ACME is for the mode ACME.
	ACME ACMEOptions
	// MinVersion is the lowest TLS version, 1.2 or 1.3 in crypto/tls's numbers; 0 is 1.2.
	MinVersion uint16
	// Logger gets what changed and what failed; nil is slog.Default().
	Logger *slog.Logger
	// Now is the clock of the local authority; nil is time.Now.
	Now func() time.Time
}

// Pair is a certificate chain and its key, both PEM files.
type Pair struct{ Certificate, Key string }

// CertStatus is the state of one certificate, for readiness and metrics.
type CertStatus struct {
	// Names are the names that it is good for, or that wait for it.
	Names []string
	// NotAfter is its end; zero when there is none yet.
	NotAfter time.Time
	// Source is the mode, with the file in the mode Files.
	Source string
	// Err is why it could not be had or renewed; what was there before serves on. May be nil.
	Err error
}

// Manager has the certificates. It is safe for concurrent use.
type Manager struct {
	source source
	acme   *acmeSource // nil in other modes
	local  *authority  // nil in other modes
	config *stdtls.Config

	mu     sync.Mutex
	closed bool
	cancel context.CancelFunc // ends Run; nil while it is not running
	done   chan struct{}      // closed when Run returned
	fixed  []string
}

// source is one of the three.
type source interface {
	// certificate is nil without an error when the name is not served.
	certificate(hello *stdtls.ClientHelloInfo) (*stdtls.Certificate, error)
	setNames(names []string)
	run(ctx context.Context) // until ctx ends
	status() []CertStatus
	close()
}

// New reads what is there and asks nobody: an ACME authority that is down does not keep
// the gateway from starting. It makes the local authority when there is none. All bad
// pairs are reported at once. The caller runs [Manager.Run] and calls [Manager.Close].
func New(o Options) (*Manager, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MinVersion = cmp.Or(o.MinVersion, stdtls.VersionTLS12); o.MinVersion < stdtls.VersionTLS12 {
		return nil, fmt.Errorf("open certificates: lowest version %s, want TLS 1.2 or 1.3 (RFC 8996)", stdtls.VersionName(o.MinVersion))
	}
	m := &Manager{fixed: normalize(o.Names)}
	var err error
	protocols := []string{"h2", "http/1.1"}
	switch o.Mode {
	case Internal, "":
		m.local, err = openAuthority(o.DataDir, o.Now)
		m.source = m.local
	case Files:
		m.source, err = openPairs(o.Pairs, o.Logger)
	case ACME:
		m.acme, err = openACME(o)
		m.source = m.acme
		protocols = append(protocols, ACMEProtocol)
	default:
		err = fmt.Errorf("mode %q, want internal, files or acme", o.Mode)
	}
	if err != nil {
		return nil, fmt.Errorf("open certificates: %w", err)
	}
	m.source.setNames(m.fixed)
	m.config = &stdtls.Config{
		MinVersion: o.MinVersion,
		// TLS 1.2 without CBC, whose suites RFC 9113 Appendix A forbids to HTTP/2 and whose
		// padding was an oracle more than once; TLS 1.3 suites are not configurable.
		CipherSuites: []uint16{
			stdtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, stdtls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			stdtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, stdtls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			stdtls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, stdtls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos:     protocols,
		GetCertificate: m.source.certificate,
	}
	return m, nil
}

// Config is the listener's configuration: TLS 1.2 and 1.3, ALPN h2 and http/1.1, and in
// the mode ACME [ACMEProtocol]. It is always the same one; do not clone it for each
// connection, or session tickets lose the rotation of their keys.
func (m *Manager) Config() *stdtls.Config { return m.config }

// SetNames replaces the names that the snapshot serves, beside those of [Options].
// In the mode Files it does nothing.
func (m *Manager) SetNames(names []string) {
	m.source.setNames(normalize(slices.Concat(m.fixed, names)))
}

// Refresh reads the pairs of the mode Files now, without waiting for an event; what is bad
// is in [Manager.Status], and the old one serves on. In other modes it does nothing.
func (m *Manager) Refresh() {
	if p, ok := m.source.(*pairs); ok {
		p.reload(nil)
	}
}

// Run watches files, obtains and renews, until ctx ends or Close is called. Call it once,
// when the listeners accept: an authority asks them back. It returns nil.
func (m *Manager) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m.mu.Lock()
	if m.closed || m.cancel != nil {
		m.mu.Unlock()
		return nil
	}
	m.cancel, m.done = cancel, make(chan struct{})
	m.mu.Unlock()
	defer close(m.done)
	m.source.run(ctx)
	return nil
}

// Close ends Run, waits for it and gives up what is held. Config keeps answering with
// what is in memory. Further calls do nothing.
func (m *Manager) Close() error {
	m.mu.Lock()
	first := !m.closed
	m.closed = true
	cancel, done := m.cancel, m.done
	m.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
	if first {
		m.source.close()
	}
	return nil
}

// HTTPChallenge answers an http-01 challenge (RFC 8555 section 8.3): host is the
// request's, with or without a port, path its path. ok is false for anything else.
func (m *Manager) HTTPChallenge(host, path string) (body []byte, ok bool) {
	if m.acme == nil {
		return nil, false
	}
	return m.acme.solver.http(host, path)
}

// Status is the state of every certificate, ordered by name.
func (m *Manager) Status() []CertStatus {
	s := m.source.status()
	slices.SortStableFunc(s, func(a, b CertStatus) int { return slices.Compare(a.Names, b.Names) })
	return s
}

// Authority is the local authority's certificate file and the SHA-256 of the
// certificate, in colon-separated hex; ok is false in other modes than Internal.
func (m *Manager) Authority() (path, fingerprint string, ok bool) {
	if m.local == nil {
		return "", "", false
	}
	return m.local.path, m.local.fingerprint(), true
}

// normalize gives names in lower case without a final dot, sorted, each once.
func normalize(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		if n = strings.ToLower(strings.TrimSuffix(n, ".")); n != "" {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// wildcard is the pattern that covers name: one label is replaced (RFC 6125 section 6.4.3).
func wildcard(name string) string {
	if _, parent, ok := strings.Cut(name, "."); ok {
		return "*." + parent
	}
	return ""
}
