package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/signature"
	"github.com/wasmgate/wasmgate/host/internal/source"
	"github.com/wasmgate/wasmgate/host/model"
)

// Pull says what to get, for [PullPlugin] and [FetchPlugin].
type Pull struct {
	// Source is as policies name it; a file: is taken from the working directory.
	Source string
	// Digest is what the module must be; empty for any.
	Digest string
	// ID is what a module without a manifest is called.
	ID string
	// Older lets PullPlugin take a module that was signed before the one that is pinned.
	Older bool
}

// Pulled is a module as it came.
type Pulled struct {
	Source string `json:"source"`
	// Digest is the module's, Manifest that of the OCI manifest, if there is one.
	Digest   string `json:"digest"`
	Manifest string `json:"manifest,omitempty"`
	// ID and Version are what the module says.
	ID      string `json:"id,omitempty"`
	Version string `json:"version,omitempty"`
	// Signed says whose signature was verified; nil when none was.
	Signed *Signed `json:"signed,omitempty"`
	// Before is the digest that was pinned; empty when there was no pin.
	Before string `json:"before,omitempty"`
	// Module and Signatures are the bytes, for who writes them to a file.
	Module     []byte   `json:"-"`
	Signatures [][]byte `json:"-"`
}

// PushPlugin sends a module to a registry, to the tag of to ("oci://HOST/REPOSITORY:TAG"),
// and gives the digest of the manifest there. The layout is "artifact", also when empty, or
// "image". What c says of plugins.pull counts.
func PushPlugin(ctx context.Context, c *Config, to, layout string, module, signatureText []byte, name string) (manifest string, err error) {
	defer func() { err = shown(c, err) }()
	at, s, err := shipping(c, to, "")
	if err != nil {
		return "", fmt.Errorf("push: %w", err)
	}
	defer s.Close()
	id, version, err := identity(module, name)
	if err != nil {
		return "", fmt.Errorf("push: %w", err)
	}
	if len(signatureText) > 0 {
		if _, err := signature.Parse(signatureText); err != nil {
			return "", fmt.Errorf("push: %w", err)
		}
	}
	return s.Push(ctx, at, &source.Parcel{Module: module, Signature: signatureText, ID: id, Version: version, Layout: source.Layout(layout)})
}

// FetchPlugin gets a module and keeps nothing. Nobody vouches for it.
func FetchPlugin(ctx context.Context, c *Config, p Pull) (_ *Pulled, err error) {
	defer func() { err = shown(c, err) }()
	at, s, err := shipping(c, p.Source, "")
	if err != nil {
		return nil, err
	}
	defer s.Close()
	a, err := s.Pull(ctx, at, p.Digest)
	if err != nil {
		return nil, err
	}
	return pulled(a, p.ID)
}

// CheckPlugin gets a module, holds it against the rules of c as a gateway would that loads
// it, and keeps nothing.
func CheckPlugin(ctx context.Context, c *Config, p Pull) (_ *Pulled, err error) {
	defer func() { err = shown(c, err) }()
	at, s, err := shipping(c, p.Source, "")
	if err != nil {
		return nil, err
	}
	defer s.Close()
	_, one, _, err := judged(ctx, c, s, at, p)
	return one, err
}

// PullPlugin gets a module anew and, when the rules of c let it in, makes it what its source
// is from the next reload on, here and in a gateway that runs on the same data_dir.
func PullPlugin(ctx context.Context, c *Config, p Pull) (_ *Pulled, err error) {
	defer func() { err = shown(c, err) }()
	at, s, err := shipping(c, p.Source, pluginStore(c))
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if at.Scheme == model.SourceFile {
		return nil, fmt.Errorf("pull %s: a file is read at each reload and not kept", at)
	}
	a, one, verdict, err := judged(ctx, c, s, at, p)
	if err != nil {
		return nil, err
	}
	if one.Before, err = notOlder(c, s.Store(), at, one.ID, verdict, p.Older); err != nil {
		return nil, err
	}
	return one, s.Keep(a)
}

// pluginStore is where what c pulls is kept.
func pluginStore(c *Config) string { return filepath.Join(c.DataDir, "plugins") }

// shipping is a source with what reaches it.
func shipping(c *Config, text, dir string) (model.Source, *source.Sources, error) {
	at, err := model.ParseSource(text)
	if err != nil {
		return at, nil, fmt.Errorf("read source: %w", err)
	}
	o, err := sourceOptions(c, dir)
	if err != nil {
		return at, nil, fmt.Errorf("read plugins.pull.ca_file: %w", err)
	}
	s, err := source.New(o)
	return at, s, err
}

func pulled(a *source.Artifact, name string) (*Pulled, error) {
	id, version, err := identity(a.Module, name)
	if err != nil {
		return nil, fmt.Errorf("pull %s: %w", a.Source, err)
	}
	return &Pulled{Source: a.Source.String(), Digest: a.Digest, Manifest: a.Manifest, ID: id, Version: version, Module: a.Module, Signatures: a.Signatures}, nil
}

func judged(ctx context.Context, c *Config, s *source.Sources, at model.Source, p Pull) (*source.Artifact, *Pulled, signature.Verdict, error) {
	a, err := s.Pull(ctx, at, p.Digest)
	if err != nil {
		return nil, nil, signature.Verdict{}, err
	}
	one, err := pulled(a, p.ID)
	if err != nil {
		return nil, nil, signature.Verdict{}, err
	}
	if one.ID == "" {
		return nil, nil, signature.Verdict{}, fmt.Errorf("pull %s: a module without a manifest, want --id to say what policies call it", at)
	}
	v, err := c.Plugins.Trust().Check(&signature.Claim{ID: one.ID, Version: one.Version, Origin: signature.Origin(at.Scheme), Module: a.Module, Signatures: a.Signatures})
	if err != nil {
		return nil, nil, v, fmt.Errorf("plugin %q from %s: %w", one.ID, at, err)
	}
	if v.KeyID != "" {
		one.Signed = signed(v)
	}
	return a, one, v, nil
}

// notOlder refuses a module that was signed before the one that is pinned: whoever holds the
// registry could serve an old version with a known hole, whose signature is as good as ever.
// before is the digest of the pin.
func notOlder(c *Config, store *source.Store, at model.Source, id string, now signature.Verdict, older bool) (before string, err error) {
	pin, ok, err := store.Pin(at.String())
	if err != nil || !ok {
		return "", nil // one that cannot be read is replaced: the operator asked for it
	}
	module, err := store.Get(pin.Digest)
	if err != nil || older {
		return pin.Digest, nil
	}
	claim := &signature.Claim{ID: id, Origin: signature.Origin(at.Scheme), Module: module}
	if _, claim.Version, err = identity(module, id); err != nil {
		return pin.Digest, nil
	}
	for _, text := range pin.Signatures {
		claim.Signatures = append(claim.Signatures, []byte(text))
	}
	old, err := c.Plugins.Trust().Check(claim)
	if err == nil && old.Comment.Time.After(now.Comment.Time) {
		return "", fmt.Errorf("pull %s: got a module that was signed %s, want none before %s, as the pinned one (--older takes it)", at, stampOf(now.Comment.Time), stampOf(old.Comment.Time))
	}
	return pin.Digest, nil
}

func stampOf(t time.Time) string {
	if t.IsZero() {
		return "without a time"
	}
	return t.Format(time.RFC3339)
}

// Pin is what a source was when it was pulled.
type Pin = source.Pin

// Pins is what the gateway of c, running or not, takes its sources for.
func Pins(c *Config) ([]Pin, error) {
	pins, err := source.OpenStore(pluginStore(c), c.Plugins.ModuleBytes).Pins()
	return pins, shown(c, err)
}

// ForgetPin makes the gateway of c ask a source again at its next reload.
func ForgetPin(c *Config, text string) error {
	ok, err := source.OpenStore(pluginStore(c), c.Plugins.ModuleBytes).DropPin(text)
	if err == nil && !ok {
		err = errors.New("there is no pin of it")
	}
	if err != nil {
		return shown(c, fmt.Errorf("forget %s: %w", text, err))
	}
	return nil
}
