package tls

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	stdtls "crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// ACMEOptions are the choices of the mode ACME.
type ACMEOptions struct {
	// Directory is the authority's directory URL; Let's Encrypt when empty.
	Directory string
	// RootFile is a PEM file with the only roots to trust for Directory; empty is the system's.
	RootFile string
	// Email is the contact of the account; may be empty.
	Email string
	// KeyID and MACKey (base64url) bind the account to one that exists (RFC 8555 section 7.3.4).
	KeyID, MACKey string
	// Profile is one that the authority offers; empty is its default.
	Profile string
	// Challenges are "tls-alpn-01" and "http-01"; empty is both.
	Challenges []string
	// RetryMin is the pause after the first failure, doubled up to 6 h; 0 is 1 min.
	RetryMin time.Duration
	// RenewCheck is how often certificates are looked at for renewal; 0 is 10 min.
	RenewCheck time.Duration
}

// issuer orders certificates with one account. It is certmagic's Issuer.
type issuer struct {
	o       ACMEOptions
	client  *acmez.Client
	storage certmagic.Storage
	key     string

	mu      sync.Mutex // one registration at a time
	account acme.Account

	closing sync.RWMutex // read-held while something runs; see close
	closed  bool
}

var (
	_ certmagic.Issuer            = (*issuer)(nil)
	_ certmagic.RenewalInfoGetter = (*issuer)(nil)
)

func newIssuer(o ACMEOptions, storage certmagic.Storage, s *solver) (*issuer, error) {
	if o.Directory == "" {
		o.Directory = certmagic.LetsEncryptProductionCA
	}
	u, err := url.Parse(o.Directory)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("acme directory %q, want an https URL", o.Directory)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: 15 * time.Second, IdleConnTimeout: 30 * time.Second}
	if o.RootFile != "" {
		roots, err := os.ReadFile(o.RootFile)
		if err != nil {
			return nil, fmt.Errorf("read acme root: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(roots) {
			return nil, fmt.Errorf("read acme root %q: no certificate in it", o.RootFile)
		}
		transport.TLSClientConfig = &stdtls.Config{RootCAs: pool}
	}
	if len(o.Challenges) == 0 {
		o.Challenges = []string{acme.ChallengeTypeTLSALPN01, acme.ChallengeTypeHTTP01}
	}
	solvers := map[string]acmez.Solver{}
	for _, c := range o.Challenges {
		if c != acme.ChallengeTypeTLSALPN01 && c != acme.ChallengeTypeHTTP01 {
			return nil, fmt.Errorf("acme challenge %q, want tls-alpn-01 or http-01", c)
		}
		solvers[c] = s
	}
	return &issuer{
		o: o, storage: storage,
		key: certmagic.StorageKeys.Safe(u.Host + strings.ReplaceAll(u.Path, "/", "-")),
		client: &acmez.Client{
			Client: &acme.Client{
				Directory:   o.Directory,
				HTTPClient:  &http.Client{Transport: transport, Timeout: 30 * time.Second},
				UserAgent:   "wasmgate",
				PollTimeout: 2 * time.Minute,
			},
			ChallengeSolvers: solvers,
		},
	}, nil
}

// IssuerKey names the authority in the storage.
func (i *issuer) IssuerKey() string { return i.key }

// Issue makes one order. The certificate that it replaces, if there is one, is named to
// the authority (RFC 9773 section 5), which then lifts its rate limits.
func (i *issuer) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	done, err := i.begin()
	if err != nil {
		return nil, err
	}
	defer done()
	for attempt := 0; ; attempt++ {
		account, err := i.registered(ctx)
		if err != nil {
			return nil, fmt.Errorf("register acme account at %q: %w", i.o.Directory, err)
		}
		params, err := acmez.OrderParametersFromCSR(account, csr)
		if err != nil {
			return nil, err
		}
		params.Profile = i.o.Profile
		params.Replaces = i.replaced(ctx, csr)
		chains, err := i.client.ObtainCertificate(ctx, params)
		if p, ok := errors.AsType[acme.Problem](err); ok && p.Type == acme.ProblemTypeAccountDoesNotExist && attempt == 0 {
			i.forget(ctx) // the authority lost it; register again, once
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("order certificate from %q: %w", i.o.Directory, err)
		}
		if len(chains) == 0 {
			return nil, fmt.Errorf("order certificate from %q: the answer has no chain", i.o.Directory)
		}
		return &certmagic.IssuedCertificate{Certificate: chains[0].ChainPEM, Metadata: chains[0]}, nil
	}
}

// GetRenewalInfo asks when to renew (RFC 9773).
func (i *issuer) GetRenewalInfo(ctx context.Context, cert certmagic.Certificate) (acme.RenewalInfo, error) {
	done, err := i.begin()
	if err != nil {
		return acme.RenewalInfo{}, err
	}
	defer done()
	return i.client.GetRenewalInfo(ctx, cert.Leaf)
}

// begin marks that something runs: certmagic does not wait for its own workers.
func (i *issuer) begin() (done func(), err error) {
	i.closing.RLock()
	if i.closed {
		i.closing.RUnlock()
		return nil, context.Canceled
	}
	return i.closing.RUnlock, nil
}

// close waits for what runs, whose contexts have ended.
func (i *issuer) close() {
	i.closing.Lock()
	i.closed = true
	i.closing.Unlock()
	i.client.Client.HTTPClient.CloseIdleConnections()
}

func (i *issuer) replaced(ctx context.Context, csr *x509.CertificateRequest) *x509.Certificate {
	if len(csr.DNSNames) != 1 {
		return nil
	}
	data, err := i.storage.Load(ctx, certmagic.StorageKeys.SiteCert(i.key, csr.DNSNames[0]))
	if err != nil {
		return nil // the first one
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || time.Now().After(cert.NotAfter) || len(cert.AuthorityKeyId) == 0 {
		return nil
	}
	return cert
}

func (i *issuer) file(name string) string { return path.Join("acme", i.key, name) }

// registered is the account, from memory, from the storage or new. The key is stored
// before the authority knows it: a second registration with it finds the same account.
func (i *issuer) registered(ctx context.Context) (acme.Account, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.account.Status != "" {
		return i.account, nil
	}
	key, err := i.accountKey(ctx)
	if err != nil {
		return acme.Account{}, err
	}
	var account acme.Account
	if data, err := i.storage.Load(ctx, i.file("account.json")); err == nil {
		if err := json.Unmarshal(data, &account); err != nil {
			return acme.Account{}, err
		}
	}
	account.PrivateKey = key
	var contact []string
	if i.o.Email != "" {
		contact = []string{"mailto:" + i.o.Email}
	}
	known := account.Status != ""
	if known && slices.Equal(account.Contact, contact) {
		i.account = account
		return account, nil
	}
	account.Contact = contact
	if known {
		account, err = i.client.UpdateAccount(ctx, account)
	} else {
		account.TermsOfServiceAgreed = true
		if i.o.KeyID != "" {
			err = account.SetExternalAccountBinding(ctx, i.client.Client, acme.EAB{KeyID: i.o.KeyID, MACKey: i.o.MACKey})
		}
		if err == nil {
			account, err = i.client.NewAccount(ctx, account)
		}
	}
	if err != nil {
		return acme.Account{}, err
	}
	account.PrivateKey, account.Contact = key, contact
	data, err := json.Marshal(account)
	if err != nil {
		return acme.Account{}, err
	}
	if err := i.storage.Store(ctx, i.file("account.json"), data); err != nil {
		return acme.Account{}, err
	}
	i.account = account
	return account, nil
}

func (i *issuer) accountKey(ctx context.Context) (crypto.Signer, error) {
	name := i.file("account.key")
	data, err := i.storage.Load(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		if data, err = certmagic.PEMEncodePrivateKey(key); err != nil {
			return nil, err
		}
		return key, i.storage.Store(ctx, name, data)
	}
	if err != nil {
		return nil, err
	}
	return certmagic.PEMDecodePrivateKey(data)
}

// forget drops the account but keeps its key.
func (i *issuer) forget(ctx context.Context) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.account = acme.Account{}
	// An error here comes back when the new account is stored.
	_ = i.storage.Delete(ctx, i.file("account.json"))
}
