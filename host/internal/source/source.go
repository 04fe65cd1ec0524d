package source

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/signature"
	"github.com/wasmgate/wasmgate/host/model"
)

// Options are for [New].
type Options struct {
	// Dir is where modules and pins are kept; empty keeps nothing.
	Dir string
	// MaxBytes is the longest module; needed.
	MaxBytes int64
	// Timeout bounds one pull or push; needed.
	Timeout time.Duration
	// Roots are the accepted certificate authorities; nil is the system's.
	Roots *x509.CertPool
	// PlainHTTP are registries on loopback, host:port, that are asked by plain HTTP.
	PlainHTTP []string
	// Proxy is the URL of a proxy; empty is none, whatever the environment says.
	Proxy string
	// DockerConfig is a config.json with credentials; empty is none.
	DockerConfig string
	// Credentials are by registry, and win over DockerConfig.
	Credentials map[string]Credential
}

// Credential is what a registry is shown.
type Credential struct{ Username, Password string }

// Sources gets modules and keeps them. It is safe for concurrent use; [Sources.Close] ends
// its idle connections.
type Sources struct {
	options Options
	store   *Store // nil keeps nothing
	network *network
}

// New opens nothing. The error is of the options.
func New(o Options) (*Sources, error) {
	s := &Sources{options: o}
	if o.Dir != "" {
		s.store = OpenStore(o.Dir, o.MaxBytes)
	}
	var err error
	if s.network, err = newNetwork(&o); err != nil {
		return nil, err
	}
	return s, nil
}

// Close ends idle connections. It may be called more than once, and on nil.
func (s *Sources) Close() {
	if s != nil {
		s.network.close()
	}
}

// Artifact is a module as it came.
type Artifact struct {
	Source model.Source
	// Module is its bytes, Digest their SHA-256.
	Module []byte
	Digest string
	// Manifest is the digest of the OCI manifest; empty for other sources.
	Manifest string
	// Signatures are the texts that came with it, not verified.
	Signatures [][]byte
	// Pulled is when; the zero time for a file.
	Pulled time.Time
	// Kept says that it was kept before and nobody was asked.
	Kept bool
}

// Load is the module of from: as it was pulled once, or else pulled now, which [Sources.Keep]
// may make the answer from then on. A digest that is not empty is what the module must be; a
// pin to another is passed over, since the policy's word is newer.
func (s *Sources) Load(ctx context.Context, from model.Source, digest string) (*Artifact, error) {
	if from.Scheme == model.SourceFile || s.store == nil {
		return s.Pull(ctx, from, digest)
	}
	pin, ok, err := s.store.Pin(from.String())
	if err != nil {
		return nil, err
	}
	if !ok || digest != "" && pin.Digest != digest {
		return s.Pull(ctx, from, digest)
	}
	module, err := s.store.Get(pin.Digest)
	switch {
	case err == nil:
		return kept(from, &pin, module), nil
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrDamaged):
		return nil, err
	}
	// The copy is gone. What comes in its place must be the same.
	again := from
	again.Digest = pin.Manifest
	a, e := s.Pull(ctx, again, pin.Digest)
	if e != nil {
		return nil, fmt.Errorf("%w; again from %w", err, e)
	}
	if _, err := s.store.Put(a.Module); err != nil {
		return nil, err
	}
	return kept(from, &pin, a.Module), nil
}

func kept(from model.Source, pin *Pin, module []byte) *Artifact {
	a := &Artifact{Source: from, Module: module, Digest: pin.Digest, Manifest: pin.Manifest, Pulled: pin.Pulled, Kept: true}
	for _, text := range pin.Signatures {
		a.Signatures = append(a.Signatures, []byte(text))
	}
	return a
}

// Pull gets the module of from anew and keeps nothing. A digest that is not empty is what
// the module must be.
func (s *Sources) Pull(ctx context.Context, from model.Source, digest string) (a *Artifact, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	a = &Artifact{Source: from, Pulled: time.Now().UTC().Truncate(time.Second)}
	switch from.Scheme {
	case model.SourceFile:
		a.Pulled = time.Time{}
		err = s.file(a)
	case model.SourceHTTPS:
		err = s.https(ctx, a)
	case model.SourceOCI:
		err = s.oci(ctx, a)
	default:
		err = errors.New("no source")
	}
	if err != nil {
		if from.Scheme != model.SourceFile {
			err = s.network.explain(ctx, err, s.options.Timeout)
		}
		return nil, fmt.Errorf("pull %s: %w", from, err)
	}
	a.Digest = Digest(a.Module)
	if digest != "" && a.Digest != digest {
		return nil, fmt.Errorf("pull %s: got a module with digest %s, want %s", from, a.Digest, digest)
	}
	return a, nil
}

// Keep keeps a and makes it what its source is from now on. The caller has found it good.
func (s *Sources) Keep(a *Artifact) error {
	if a.Source.Scheme == model.SourceFile || s.store == nil || a.Kept {
		return nil
	}
	if _, err := s.store.Put(a.Module); err != nil {
		return err
	}
	pin := Pin{Source: a.Source.String(), Digest: a.Digest, Manifest: a.Manifest, Pulled: a.Pulled}
	for _, text := range a.Signatures {
		pin.Signatures = append(pin.Signatures, string(text))
	}
	return s.store.SetPin(pin)
}

// Store is where modules are kept; nil where none are.
func (s *Sources) Store() *Store { return s.store }

func (s *Sources) file(a *Artifact) error {
	var err error
	if a.Module, err = readFile(a.Source.Path, s.options.MaxBytes); err != nil {
		return err
	}
	a.Signatures, err = SignaturesBeside(a.Source.Path)
	return err
}

// SignaturesBeside is the signature file beside a module's; none is no error.
func SignaturesBeside(path string) ([][]byte, error) {
	text, err := readFile(path+signature.Suffix, signature.MaxBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return [][]byte{text}, nil
}

// readFile does not wait for a pipe, which a policy could name to stop every reload.
func readFile(path string, max int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := readAll(f, max)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// https gets a module and, beside it, its signature.
func (s *Sources) https(ctx context.Context, a *Artifact) error {
	var status int
	var err error
	if a.Module, status, err = s.network.get(ctx, a.Source.URL, s.options.MaxBytes); err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("got status %d, want 200", status)
	}
	text, status, err := s.network.get(ctx, a.Source.URL+signature.Suffix, signature.MaxBytes)
	switch {
	case err != nil:
		return fmt.Errorf("its signature: %w", err)
	case status == http.StatusNotFound || status == http.StatusGone:
		return nil
	case status != http.StatusOK:
		return fmt.Errorf("its signature: got status %d, want 200, or 404 where there is none", status)
	}
	a.Signatures = [][]byte{text}
	return nil
}
