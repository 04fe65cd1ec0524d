package tls

import (
	"context"
	stdtls "crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// solver holds the answers to the challenges that are open. certmagic's own solvers
// would open ports where they do not find ours, and keep challenges in a variable of
// the process.
type solver struct {
	mu     sync.Mutex
	tokens map[string]acme.Challenge      // http-01, by path
	certs  map[string]*stdtls.Certificate // tls-alpn-01, by name
}

func (s *solver) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens, s.certs = map[string]acme.Challenge{}, map[string]*stdtls.Certificate{}
}

var _ acmez.Solver = (*solver)(nil)

// Present is called by acmez before it tells the authority to ask.
func (s *solver) Present(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c.Type {
	case acme.ChallengeTypeHTTP01:
		s.tokens[c.HTTP01ResourcePath()] = c
	case acme.ChallengeTypeTLSALPN01:
		cert, err := acmez.TLSALPN01ChallengeCert(c)
		if err != nil {
			return fmt.Errorf("make challenge certificate for %q: %w", c.Identifier.Value, err)
		}
		s.certs[strings.ToLower(c.Identifier.Value)] = cert
	default:
		return fmt.Errorf("challenge type %q, want http-01 or tls-alpn-01", c.Type)
	}
	return nil
}

// CleanUp is called by acmez after every Present.
func (s *solver) CleanUp(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Type == acme.ChallengeTypeHTTP01 {
		delete(s.tokens, c.HTTP01ResourcePath())
	} else {
		delete(s.certs, strings.ToLower(c.Identifier.Value))
	}
	return nil
}

// http answers only for the name that the challenge is for: a page that rebinds its
// name to this address gets nothing.
func (s *solver) http(host, path string) ([]byte, bool) {
	if !strings.HasPrefix(path, "/.well-known/acme-challenge/") {
		return nil, false
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.tokens[path]
	if !ok || !strings.EqualFold(c.Identifier.Value, host) {
		return nil, false
	}
	return []byte(c.KeyAuthorization), true
}

// alpn is the certificate for a tls-alpn-01 handshake, nil when none is open for the name.
func (s *solver) alpn(name string) *stdtls.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.certs[strings.ToLower(name)]
}
