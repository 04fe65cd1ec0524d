package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/wasmgate/wasmgate/host/internal/document"
	"github.com/wasmgate/wasmgate/host/model"
)

const (
	maxRedirects  = 5
	maxHeaders    = 64 << 10
	connectTime   = 10 * time.Second
	keepIdle      = 10 * time.Second
	maxSignatures = 8 // of one module
)

// network is the way out, with what nobody may talk it into.
type network struct {
	client    *http.Client
	transport *http.Transport
	plain     []string          // registries on loopback that are asked by plain HTTP
	secrets   document.Redactor // what was sent to servers and is not to be told
}

func newNetwork(o *Options) (*network, error) {
	n := &network{plain: o.PlainHTTP}
	n.transport = &http.Transport{
		DialContext:            n.dial,
		TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connectTime,
		MaxResponseHeaderBytes: maxHeaders,
		IdleConnTimeout:        keepIdle,
		DisableCompression:     true, // what is counted is what comes
		ForceAttemptHTTP2:      true,
	}
	if o.Proxy != "" {
		u, err := url.Parse(o.Proxy)
		if err != nil {
			return nil, errors.New("read plugins.pull.proxy: it is no URL") // the URL may hold a password
		}
		n.transport.Proxy = func(r *http.Request) (*url.URL, error) {
			if n.isPlain(r.URL.Host) { // this machine: a proxy's loopback is another
				return nil, nil
			}
			return u, nil
		}
	}
	n.client = &http.Client{Transport: n, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		return nil // RoundTrip looks at where it leads
	}}
	return n, nil
}

func (n *network) close() { n.transport.CloseIdleConnections() }

func (n *network) isPlain(host string) bool { return slices.Contains(n.plain, strings.ToLower(host)) }

// RoundTrip sends one request, be it ours, a redirect's, or one for a registry's token.
func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !(r.URL.Scheme == "http" && n.isPlain(r.URL.Host)) {
		return nil, fmt.Errorf("%s://%s is not https", r.URL.Scheme, r.URL.Host)
	}
	// A proxy would dial it for us.
	if a, err := netip.ParseAddr(r.URL.Hostname()); err == nil && model.NeverUpstream(a) {
		return nil, fmt.Errorf("address %s is link-local or of a metadata service", a)
	}
	if _, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
		n.secrets.Add(token)
	}
	return n.transport.RoundTrip(r)
}

// dial looks at the address that a name led to, at the last moment: an answer of DNS that
// changes between look and use changes nothing (CWE-918, DNS rebinding).
func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	plain := n.isPlain(address)
	d := net.Dialer{Timeout: connectTime, Control: func(_, resolved string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return err
		}
		if model.NeverUpstream(a.Addr()) {
			return fmt.Errorf("address %s is link-local or of a metadata service", a.Addr())
		}
		if plain && !a.Addr().Unmap().IsLoopback() {
			return fmt.Errorf("address %s is not loopback, and %s is in plugins.pull.plain_http", a.Addr(), address)
		}
		return nil
	}}
	return d.DialContext(ctx, network, address)
}

// get is the body of one URL, or its status when that is another than 200.
func (n *network) get(ctx context.Context, from string, max int64) (body []byte, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("User-Agent", userAgent)
	res, err := n.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, res.StatusCode, nil
	}
	if res.ContentLength > max {
		return nil, 0, fmt.Errorf("it has %d bytes, want at most %d", res.ContentLength, max)
	}
	body, err = readAll(res.Body, max)
	return body, res.StatusCode, err
}

const userAgent = "wasmgate"

// readAll is all of r, which may not be longer than max.
func readAll(r io.Reader, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	if err == nil && int64(len(data)) > max {
		err = fmt.Errorf("it has more than %d bytes", max)
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// maxError is how much of an error is told; servers write a part of some.
const maxError = 400

// explain is err in our own words where servers had a part in it: what they say may be the
// password that we sent them.
func (n *network) explain(ctx context.Context, err error, timeout time.Duration) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("it took longer than %s (plugins.pull.timeout)", timeout)
	}
	text := n.secrets.Scrub(err.Error())
	if e, ok := errors.AsType[*errcode.ErrorResponse](err); ok {
		text = fmt.Sprintf("the registry answered %d", e.StatusCode)
		for i, one := range e.Errors {
			if i < 3 && errorCode.MatchString(one.Code) {
				text += " " + one.Code
			}
		}
	} else if e, ok := errors.AsType[*url.Error](err); ok {
		text = n.secrets.Scrub(e.Err.Error())
		if u, bad := url.Parse(e.URL); bad == nil {
			text = u.Scheme + "://" + u.Host + u.EscapedPath() + ": " + text // a query may be a signature to get in with
		}
	}
	if len(text) > maxError {
		text = strings.ToValidUTF8(text[:maxError], "") + "..."
	}
	return &explained{text, err}
}

// errorCode: OCI distribution-spec 1.1, "Error Codes".
var errorCode = regexp.MustCompile(`^[A-Z_]{1,40}$`)

// explained is an error with another text.
type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.err }

// Roots are the system's certificate authorities and those of a PEM file; nil is the system's.
func Roots(pem []byte) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the system's certificate authorities: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("it holds no PEM certificate")
	}
	return roots, nil
}
