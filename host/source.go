package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/config"
	"github.com/wasmgate/wasmgate/host/internal/document"
	"github.com/wasmgate/wasmgate/host/internal/openapi"
	"github.com/wasmgate/wasmgate/host/internal/signature"
	"github.com/wasmgate/wasmgate/host/internal/source"
	"github.com/wasmgate/wasmgate/host/model"
)

// provenance is where a module comes from and who vouched for it.
type provenance struct {
	source  string
	version string
	verdict signature.Verdict
}

// builtIn is the source of the plugins in the binary.
const builtIn = "built-in"

// where says where a module is, for people.
func (k moduleKey) where() string {
	switch {
	case k.source != (model.Source{}):
		return k.source.String()
	case k.path != "":
		return k.path
	}
	return builtIn
}

// sourceOptions is what c says about getting modules, which are kept in dir.
func sourceOptions(c *config.Config, dir string) (source.Options, error) {
	p := &c.Plugins.Pull
	o := source.Options{Dir: dir, MaxBytes: c.Plugins.ModuleBytes, Timeout: p.Timeout, PlainHTTP: p.PlainHTTP,
		Proxy: p.Proxy, DockerConfig: p.DockerConfig, Credentials: make(map[string]source.Credential)}
	for registry, credential := range p.Credentials {
		o.Credentials[registry] = source.Credential{Username: credential.Username, Password: credential.Password.Reveal()}
	}
	if p.CAFile == "" {
		return o, nil
	}
	pem, err := os.ReadFile(p.CAFile)
	if err == nil {
		o.Roots, err = source.Roots(pem)
	}
	return o, err
}

// openSources makes what gets modules for one snapshot.
func (s *pluginSet) openSources(c *config.Config) (problems document.Errors) {
	dir := s.dir
	if s.trial {
		if _, err := os.Stat(dir); err != nil {
			dir = ""
		}
	}
	o, err := sourceOptions(c, dir)
	if err != nil {
		problems = append(problems, c.Problem("plugins.pull.ca_file", err.Error(), "a PEM file of CAs"))
	}
	if s.sources, err = source.New(o); err != nil {
		problems = append(problems, c.Problem("plugins.pull.proxy", err.Error(), "the URL of a proxy"))
	}
	return problems
}

// fetched is what a source gave.
type fetched struct {
	artifact *source.Artifact
	made     provenance
	err      error
}

// fetches is how many sources are asked at once: what they cost is waiting.
const fetches = 8

// fetchAll asks the sources among keys side by side; errors are told when they are loaded.
func (s *pluginSet) fetchAll(ctx context.Context, keys []moduleKey) {
	var group errgroup.Group
	group.SetLimit(fetches)
	for _, key := range keys {
		if key.source == (model.Source{}) {
			continue
		}
		group.Go(func() error { // waited for below
			f := s.fetch(ctx, key)
			s.mu.Lock()
			s.fetched[key] = f
			s.mu.Unlock()
			return nil
		})
	}
	_ = group.Wait() // the errors are in s.fetched
}

// fetch asks a source and judges what it gives.
func (s *pluginSet) fetch(ctx context.Context, key moduleKey) (f fetched) {
	switch {
	case s.isBuiltin(key.id): // as for files: nobody replaces the authorizer
		f.err = fmt.Errorf("the id of the built-in plugin %q, want an id of its own", key.id)
	case s.sources == nil:
		f.err = errors.New("plugins.pull is wrong")
	default:
		f.artifact, f.err = s.sources.Load(ctx, key.source, s.wanted[key.source])
	}
	if f.err == nil {
		f.made, f.err = s.check(key, signature.Origin(key.source.Scheme), f.artifact.Module, f.artifact.Signatures)
	}
	return f
}

// fromSource is the module that a policy's source gave. It is judged whenever a snapshot is
// made, and before anything of it is compiled.
func (s *pluginSet) fromSource(ctx context.Context, key moduleKey) (*moduleEntry, error) {
	s.mu.Lock()
	f, ok := s.fetched[key]
	s.mu.Unlock()
	if !ok {
		f = s.fetch(ctx, key)
	}
	if f.err != nil {
		return nil, f.err
	}
	e, err := s.compiled(ctx, key, f.artifact.Module, fileStamp{})
	if err != nil {
		return nil, err
	}
	s.learn(e.Digest(), f.made)
	return e, nil
}

// check holds a module against the rules about signatures.
func (s *pluginSet) check(key moduleKey, origin signature.Origin, wasm []byte, signatures [][]byte) (provenance, error) {
	id, version, err := identity(wasm, key.name())
	if err != nil {
		return provenance{}, err
	}
	if key.path == "" && id != key.id {
		return provenance{}, fmt.Errorf("got a module whose manifest says id %q, want %q as policies name it", id, key.id)
	}
	verdict, err := s.trust.Check(&signature.Claim{ID: id, Version: version, Origin: origin, Module: wasm, Signatures: signatures})
	if err != nil {
		return provenance{}, err
	}
	return provenance{source: key.where(), version: version, verdict: verdict}, nil
}

// ruled tells whether there are rules about signatures.
func (s *pluginSet) ruled() bool { return len(s.trust.Signers) > 0 || len(s.trust.Unsigned) > 0 }

// judgeRollouts holds the versions that serve in the place of a source's against the rules,
// which may be others than when they were rolled out: a key that is taken back takes with it
// what it signed.
func (b *builder) judgeRollouts() {
	if b.rollouts == nil || !b.plugins.ruled() {
		return
	}
	for _, e := range b.rollouts.serving() {
		wasm, err := b.rollouts.modules.Get(e.Digest)
		if err == nil {
			_, err = b.plugins.check(moduleKey{id: e.Plugin}, signature.Dir, wasm, e.Signatures)
		}
		if err != nil {
			b.problems = append(b.problems, refusal(model.Position{File: b.rollouts.file}, "rollout of "+e.Plugin, err))
		}
	}
}

// identity is what a module says it is; name where it says nothing. Of other projects'
// modules a manifest means nothing, as it does to the engine.
func identity(wasm []byte, name string) (id, version string, err error) {
	shape, err := abi.Inspect(wasm)
	if err != nil {
		return "", "", err
	}
	if foreign, _, _, _ := Foreign(shape); foreign != "" {
		return name, "", nil
	}
	manifest, found, err := abi.ReadManifest(wasm)
	if err != nil || !found {
		return name, "", err
	}
	return manifest.ID, manifest.Version, nil
}

// learn remembers where a module comes from; the first answer counts.
func (s *pluginSet) learn(digest [32]byte, p provenance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.known[digest]; !ok {
		s.known[digest] = p
	}
}

// provenance is where a module of s comes from; the zero value where s has not loaded it.
func (s *pluginSet) provenance(digest [32]byte) provenance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[digest]
}

// keep makes what was pulled for s what its sources are from now on.
func (s *pluginSet) keep(log *slog.Logger) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trial {
		return nil
	}
	for key, f := range s.fetched {
		a := f.artifact
		if s.used[key] == nil {
			continue
		}
		if err := s.sources.Keep(a); err != nil {
			return err
		}
		if !a.Kept && a.Source.Scheme != model.SourceFile {
			log.Info("module is pulled", "source", a.Source.String(), "digest", a.Digest, "manifest", a.Manifest, "signer", f.made.verdict.KeyID)
		}
	}
	clear(s.fetched) // with the modules' bytes
	return nil
}

// collect removes kept modules that no pin needs, and forgets sources that s does not use.
func (s *pluginSet) collect(log *slog.Logger) {
	s.forget(func(key moduleKey) bool { return key.source != (model.Source{}) && s.used[key] == nil })
	store := s.sources.Store()
	if store == nil {
		return
	}
	pins, err := store.Pins()
	if err == nil {
		_, err = store.Collect(func(digest string) bool {
			return slices.ContainsFunc(pins, func(p source.Pin) bool { return p.Digest == digest })
		}, time.Now())
	}
	if err != nil {
		log.Warn("modules that nobody needs are not removed", "error", err)
	}
}

// watch makes the file sources of s what is watched.
func (s *pluginSet) watch() {
	var paths []string
	for key := range s.wanted {
		if key.Scheme == model.SourceFile {
			path := filepath.Clean(key.Path)
			paths = append(paths, path, path+signature.Suffix)
		}
	}
	s.modules.mu.Lock()
	s.watched = paths
	s.modules.mu.Unlock()
}

// files are the file sources that are watched.
func (m *modules) files() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.watched
}

// prepare gets side by side the modules that documents ask for, and wants two versions of
// one plugin to be meant: each of its policies says by its digest which it is. Errors of a
// module are told where a policy asks.
func (b *builder) prepare(documents *openapi.Set) {
	var all []*model.Policy
	keys := make(map[moduleKey]bool)
	builtin := func(id string) {
		if b.plugins.isBuiltin(id) {
			keys[moduleKey{id: id}] = true
		}
	}
	add := func(list []model.Policy) {
		for i := range list {
			all = append(all, &list[i])
		}
	}
	add(documents.Policies)
	for _, api := range documents.APIs {
		add(api.Policies)
		for i := range api.Routes {
			r := &api.Routes[i]
			add(r.Policies)
			if r.Integration != nil {
				builtin(integrationPolicy(r.Integration).Plugin)
			}
			if len(r.Authorizers) > 0 {
				builtin("jwt")
			}
		}
	}
	sources := make(map[string][]model.Source) // by id
	for _, p := range all {
		if b.broken[p.Position] {
			continue
		}
		if p.Source != (model.Source{}) && b.plugins.wanted[p.Source] == "" {
			b.plugins.wanted[p.Source] = p.Digest
		}
		if key, ok := b.plugins.key(p); ok && key.path == "" {
			keys[key] = true
		}
		if !slices.Contains(sources[p.Plugin], p.Source) {
			sources[p.Plugin] = append(sources[p.Plugin], p.Source)
		}
	}
	for _, p := range all {
		if list := sources[p.Plugin]; len(list) > 1 && p.Digest == "" && !b.broken[p.Position] {
			other := list[slices.IndexFunc(list, func(s model.Source) bool { return s != p.Source })]
			b.report(p.Position, "policy "+p.Plugin, fmt.Sprintf("plugin %q from %s, which is from %s elsewhere, without a digest", p.Plugin, from(p.Source), from(other)),
				"a digest at each policy of it, so that two versions beside each other are meant")
		}
	}
	b.plugins.watch()
	list := slices.Collect(maps.Keys(keys))
	b.plugins.fetchAll(b.ctx, list)
	b.plugins.compile(b.ctx, list)
}

// from names a policy's source.
func from(s model.Source) string {
	if s == (model.Source{}) {
		return "plugins.dir"
	}
	return s.String()
}
