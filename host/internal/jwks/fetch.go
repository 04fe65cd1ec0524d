package jwks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// discoveryPath: OpenID Connect Discovery 1.0, section 4.
const discoveryPath = "/.well-known/openid-configuration"

// fetch gets a key set from its URL, or through its issuer's discovery document.
func (s *Sets) fetch(ctx context.Context, from string) (*keys, error) {
	u, err := url.Parse(from)
	if err != nil {
		return nil, err
	}
	if u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("got %q, want an https URL", from)
	}
	if !isKeySet(u) {
		if from, err = s.discover(ctx, from); err != nil {
			return nil, err
		}
	}
	body, err := s.get(ctx, from)
	if err != nil {
		return nil, err
	}
	return parseKeys(body)
}

// isKeySet tells a key set's URL from an issuer's by its last segment: the names that
// providers use.
func isKeySet(u *url.URL) bool {
	last := strings.ToLower(path.Base(u.Path))
	return strings.Contains(last, "jwk") || strings.HasSuffix(last, ".json") || last == "keys" || last == "certs"
}

// discover asks an issuer where its keys are.
func (s *Sets) discover(ctx context.Context, issuer string) (string, error) {
	body, err := s.get(ctx, strings.TrimSuffix(issuer, "/")+discoveryPath)
	if err != nil {
		return "", err
	}
	var doc struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return "", fmt.Errorf("read discovery document: %w", err)
	}
	// Section 4.3: else one issuer could vouch for another.
	if strings.TrimSuffix(doc.Issuer, "/") != strings.TrimSuffix(issuer, "/") {
		return "", fmt.Errorf("discovery document is of issuer %q, want %q", doc.Issuer, issuer)
	}
	u, err := url.Parse(doc.JWKS)
	if err != nil || u.Host == "" || u.User != nil {
		return "", fmt.Errorf("discovery document: jwks_uri %q is no absolute URL", doc.JWKS)
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && strings.HasPrefix(issuer, "http://")) {
		return "", fmt.Errorf("discovery document: jwks_uri %q, want https", doc.JWKS)
	}
	return doc.JWKS, nil
}

var errTooLong = errors.New("document is too long")

// get is one document.
func (s *Sets) get(ctx context.Context, from string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	req.Header.Set("User-Agent", "wasmgate")
	res, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %q: got status %d, want 200", from, res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, s.options.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("get %q: %w", from, err)
	}
	if int64(len(body)) > s.options.MaxBytes {
		return nil, fmt.Errorf("get %q: %w: want at most %d bytes", from, errTooLong, s.options.MaxBytes)
	}
	return body, nil
}
