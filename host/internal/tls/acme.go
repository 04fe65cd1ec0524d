package tls

import (
	"cmp"
	"context"
	stdtls "crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

const (
	retryMin   = time.Minute
	retryMax   = 6 * time.Hour
	renewCheck = 10 * time.Minute
	// orders is how many run at once: a snapshot may bring hundreds of domains.
	orders = 4
)

// acmeSource is the source of the mode ACME: certmagic stores, caches and renews, issuer
// orders, and the loop here gets what is not there yet.
type acmeSource struct {
	config   *certmagic.Config
	cache    *certmagic.Cache
	issuer   *issuer
	solver   *solver
	log      *slog.Logger
	retryMin time.Duration
	changed  chan struct{} // holds one token when names changed

	mu    sync.Mutex
	names map[string]*attempt
}

// attempt is what is known of one name that is wanted.
type attempt struct {
	failures int
	next     time.Time // not before
	err      error     // of the last try to obtain or renew
}

func openACME(o Options) (*acmeSource, error) {
	if o.DataDir == "" {
		return nil, errors.New("data_dir is empty, want a directory for acme certificates")
	}
	s := &solver{}
	s.reset()
	storage := &certmagic.FileStorage{Path: filepath.Join(o.DataDir, "acme")}
	iss, err := newIssuer(o.ACME, storage, s)
	if err != nil {
		return nil, err
	}
	a := &acmeSource{
		issuer: iss, solver: s, log: o.Logger, names: map[string]*attempt{},
		retryMin: cmp.Or(o.ACME.RetryMin, retryMin), changed: make(chan struct{}, 1),
	}
	// Both are our own, so that nothing is taken from certmagic.Default. The cache's
	// goroutine renews; close stops it and waits.
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return a.config, nil },
		RenewCheckInterval: cmp.Or(o.ACME.RenewCheck, renewCheck),
		Logger:             zap.NewNop(), // what matters comes as events
	})
	a.config = certmagic.New(a.cache, certmagic.Config{
		Issuers: []certmagic.Issuer{iss},
		Storage: storage,
		OCSP:    certmagic.OCSPConfig{DisableStapling: true},
		OnEvent: a.event,
		Logger:  zap.NewNop(),
	})
	if names := normalize(o.Names); len(names) > 0 {
		a.config.DefaultServerName = names[0] // for clients without SNI
	}
	return a, nil
}

func (a *acmeSource) certificate(hello *stdtls.ClientHelloInfo) (*stdtls.Certificate, error) {
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == ACMEProtocol {
		return a.solver.alpn(hello.ServerName), nil
	}
	cert, err := a.config.GetCertificate(hello)
	if err != nil {
		return nil, nil // certmagic's only error here is that there is none: unrecognized_name
	}
	return cert, nil
}

// setNames loads what the storage has for new names, so that it is served at once.
func (a *acmeSource) setNames(names []string) {
	ctx := context.Background() // the storage is a directory
	wanted := map[string]bool{}
	a.mu.Lock()
	for _, n := range names {
		wanted[n] = true
		if a.names[n] == nil {
			a.names[n] = &attempt{err: ineligible(n)}
			if _, err := a.config.CacheManagedCertificate(ctx, n); err != nil && !errors.Is(err, fs.ErrNotExist) {
				a.names[n].err = fmt.Errorf("load stored certificate: %w", err)
			}
		}
	}
	var gone []certmagic.SubjectIssuer
	for n := range a.names {
		if !wanted[n] {
			delete(a.names, n)
			gone = append(gone, certmagic.SubjectIssuer{Subject: n})
		}
	}
	a.mu.Unlock()
	a.cache.RemoveManaged(gone)
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// ineligible says why an authority would not certify name, nil when it may: an order
// that cannot succeed only uses up its rate limit.
func ineligible(name string) error {
	switch {
	case strings.Contains(name, "*"):
		return fmt.Errorf("%q: a wildcard needs dns-01, want single names", name)
	case !certmagic.SubjectQualifiesForPublicCert(name), certmagic.SubjectIsIP(name), !strings.Contains(name, "."):
		return fmt.Errorf("%q is no public name", name)
	}
	return nil
}

// run obtains what is missing until ctx ends. What came old from the storage is renewed
// at once: the next look at it by certmagic is minutes away.
func (a *acmeSource) run(ctx context.Context) {
	if err := a.cache.RenewManagedCertificates(ctx); err != nil {
		a.log.Error("renew stored certificates", "error", err)
	}
	for {
		timer := time.NewTimer(a.obtainMissing(ctx))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-a.changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// obtainMissing tries every name that is due, and gives the time until the next one is.
func (a *acmeSource) obtainMissing(ctx context.Context) time.Duration {
	var due []string
	a.mu.Lock()
	for n, t := range a.names {
		if ineligible(n) == nil && !a.has(n) && !time.Now().Before(t.next) {
			due = append(due, n)
		}
	}
	a.mu.Unlock()
	slots := make(chan struct{}, orders)
	var wg sync.WaitGroup // owner and waiter of the orders
	for _, n := range due {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			a.settle(n, a.config.ManageSync(ctx, []string{n}))
		})
	}
	wg.Wait()
	wait := retryMax
	a.mu.Lock()
	defer a.mu.Unlock()
	for n, t := range a.names {
		if ineligible(n) == nil && !a.has(n) {
			wait = min(wait, max(0, time.Until(t.next)))
		}
	}
	return wait
}

func (a *acmeSource) has(name string) bool {
	return len(a.cache.AllMatchingCertificates(name)) > 0
}

// settle notes how an order ended. The pause doubles, with up to a quarter more by
// chance, so that many gateways do not come back to an authority at once.
func (a *acmeSource) settle(name string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.names[name]
	if t == nil || errors.Is(err, context.Canceled) {
		return
	}
	if err == nil {
		*t = attempt{}
		return
	}
	pause := min(retryMax, a.retryMin<<min(t.failures, 16))
	pause += rand.N(pause/4 + 1)
	t.failures++
	t.err, t.next = err, time.Now().Add(pause)
	a.log.Error("certificate is not to be had", "name", name, "error", err, "retry_in", pause)
}

// event hears of renewals, which certmagic starts by itself.
func (a *acmeSource) event(_ context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	renewal, _ := data["renewal"].(bool)
	switch event {
	case "cert_obtained":
		a.log.Info("certificate obtained", "name", name, "renewal", renewal)
		a.settle(name, nil)
	case "cert_failed":
		if err, _ := data["error"].(error); renewal && err != nil {
			a.mu.Lock()
			if t := a.names[name]; t != nil {
				t.err = fmt.Errorf("renew certificate: %w", err)
			}
			a.mu.Unlock()
			a.log.Error("certificate is not renewed, the old one serves on", "name", name, "error", err)
		}
	}
	return nil
}

func (a *acmeSource) status() []CertStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	var s []CertStatus
	for n, t := range a.names {
		c := CertStatus{Names: []string{n}, Source: string(ACME), Err: t.err}
		for _, cert := range a.cache.AllMatchingCertificates(n) {
			if cert.Leaf.NotAfter.After(c.NotAfter) {
				c.NotAfter = cert.Leaf.NotAfter
			}
		}
		if c.NotAfter.IsZero() && c.Err == nil {
			c.Err = errors.New("waits for its first certificate")
		}
		s = append(s, c)
	}
	return s
}

// close is called after run ended.
func (a *acmeSource) close() {
	a.cache.Stop() // ends the contexts of renewals
	a.issuer.close()
	a.solver.reset()
}
