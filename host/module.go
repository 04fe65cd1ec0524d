package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wasmgate/wasmgate/host/internal/config"
	"github.com/wasmgate/wasmgate/host/internal/document"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/signature"
	"github.com/wasmgate/wasmgate/host/internal/source"
	"github.com/wasmgate/wasmgate/host/model"
)

// modules keeps the compiled plugins of all snapshots, so that a file that did not change
// is neither read nor compiled again. It is safe for concurrent use.
type modules struct {
	engine   *guest.Engine
	builtins fs.FS
	dir      string // where what was pulled is kept
	trial    bool   // nothing is kept: a configuration is only checked

	mu      sync.Mutex
	latest  map[moduleKey]*moduleEntry
	watched []string // file sources with their signatures, as policies named them last, served or refused
}

// moduleKey says where a module is: a file of plugins.dir, a policy's source, or else inside
// the binary.
type moduleKey struct {
	path   string
	source model.Source
	id     string // of a built-in plugin, or what the policy calls the one of its source
}

// moduleEntry is one version of one plugin and the number of snapshots that use it.
type moduleEntry struct {
	*guest.Module
	stamp fileStamp
	refs  int // guarded by modules.mu; latest holds one
}

// fileStamp says whether a file changed. A file that was written shortly before it was
// read may change again without a new time, so such a stamp is never trusted.
type fileStamp struct {
	size    int64
	written time.Time
	trusted bool
}

const stampGrain = 2 * time.Second

// pluginID is what a plugin may be called: it is a file name, a config key and a label.
var pluginID = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)

// errNoPlugin says that there is no plugin of an id.
var errNoPlugin = errors.New("no such plugin")

// pluginSet is the plugins that one snapshot sees: the built-in ones, compiled when a
// policy first asks, all files of plugins.dir, and what policies name as their sources.
type pluginSet struct {
	*modules
	maxBytes int64
	trust    *signature.Rules
	sources  *source.Sources
	wanted   map[model.Source]string // digests that policies ask of sources

	mu      sync.Mutex
	used    map[moduleKey]*moduleEntry
	failed  map[moduleKey]error   // nobody is asked twice for one snapshot
	fetched map[moduleKey]fetched // from sources; kept when the snapshot is good
	known   map[[32]byte]provenance
	byFile  map[string]string   // path of a file's module, by the plugin's id
	broken  map[string]bool     // files that were refused, by their names without .wasm
	digests map[string][32]byte // of the files that were read
}

// open lists plugins.dir, which may be absent, and compiles every file in it: a bad one is
// refused when it appears, not when it is bound. A plugin is called what its manifest
// says, or as its file without one. A built-in plugin's id is refused: who can drop a file
// must not be able to replace the authorizer.
func (m *modules) open(ctx context.Context, c *config.Config) (*pluginSet, document.Errors) {
	s := &pluginSet{modules: m, maxBytes: c.Plugins.ModuleBytes, trust: c.Plugins.Trust(), wanted: make(map[model.Source]string),
		used: make(map[moduleKey]*moduleEntry), failed: make(map[moduleKey]error), fetched: make(map[moduleKey]fetched), known: make(map[[32]byte]provenance),
		byFile: make(map[string]string), broken: make(map[string]bool), digests: make(map[string][32]byte)}
	problems := s.openSources(c)
	report := func(file, got, want string) {
		problems = append(problems, document.Problem{Position: model.Position{File: file}, Got: got, Want: want})
	}
	dir := c.Plugins.Dir
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		report(dir, err.Error(), "a folder for plugins.dir")
	}
	var keys []moduleKey
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".wasm") && !strings.HasPrefix(e.Name(), ".") {
			keys = append(keys, moduleKey{path: filepath.Join(dir, e.Name())})
		}
	}
	failed := s.compile(ctx, keys)
	for _, key := range keys {
		path := key.path
		if err := failed[key]; err != nil {
			if _, gone := os.Lstat(path); !errors.Is(gone, fs.ErrNotExist) { // or removed after it was listed
				problems = append(problems, refusal(model.Position{File: path}, "", err))
				s.broken[key.name()] = true
			}
			continue
		}
		id := s.used[key].pluginID(key.name())
		switch other, taken := s.byFile[id]; {
		case !pluginID.MatchString(id):
			report(path, "plugin id "+strconv.Quote(id), pluginID.String())
		case m.isBuiltin(id):
			report(path, "the id of the built-in plugin "+strconv.Quote(id), "an id of its own")
		case taken:
			report(path, "plugin id "+strconv.Quote(id), "another than that of "+other)
		default:
			s.byFile[id] = path
		}
	}
	m.forget(func(key moduleKey) bool { return key.path != "" && !slices.Contains(keys, key) })
	return s, problems
}

// name is what a plugin without a manifest is called.
func (k moduleKey) name() string {
	if k.path != "" {
		return strings.TrimSuffix(filepath.Base(k.path), ".wasm")
	}
	return k.id
}

// forget gives back the latest versions that gone wants.
func (m *modules) forget(gone func(moduleKey) bool) {
	m.mu.Lock()
	var entries []*moduleEntry
	for key, e := range m.latest {
		if gone(key) {
			entries = append(entries, e)
			delete(m.latest, key)
		}
	}
	m.mu.Unlock()
	for _, e := range entries {
		m.drop(e)
	}
}

// refusal is what is wrong with a plugin, or with a policy's config, in its own words.
func refusal(at model.Position, path string, err error) document.Problem {
	if r, ok := errors.AsType[*signature.Refusal](err); ok {
		return document.Problem{Position: at, Path: path, Got: r.Got, Want: r.Want}
	}
	if e, ok := errors.AsType[*guest.Error](err); ok {
		err = e.Err
	}
	return document.Problem{Position: at, Path: path, Got: err.Error()}
}

// pluginID is what the plugin is called; name where it does not say.
func (e *moduleEntry) pluginID(name string) string {
	if m := e.Manifest(); m != nil {
		return m.ID
	}
	return name
}

// compile gets several modules at once, and gives the errors of those that are not to be had.
func (s *pluginSet) compile(ctx context.Context, keys []moduleKey) map[moduleKey]error {
	errs := make([]error, len(keys))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, key := range keys {
		group.Go(func() error { // waited for below
			_, errs[i] = s.load(ctx, key)
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	failed := make(map[moduleKey]error)
	for i, key := range keys {
		if errs[i] != nil {
			failed[key] = errs[i]
		}
	}
	return failed
}

// ids is every plugin that there is, for errors.
func (s *pluginSet) ids() []string {
	ids := slices.Collect(maps.Keys(s.byFile))
	if s.builtins != nil {
		names, _ := fs.Glob(s.builtins, "*.wasm") // the pattern is good
		for _, name := range names {
			ids = append(ids, strings.TrimSuffix(name, ".wasm"))
		}
	}
	slices.Sort(ids)
	return ids
}

func (m *modules) isBuiltin(id string) bool {
	if m.builtins == nil {
		return false
	}
	_, err := fs.Stat(m.builtins, id+".wasm")
	return err == nil
}

// get is the compiled module of a policy, in use by s until [pluginSet.release].
func (s *pluginSet) get(ctx context.Context, p *model.Policy) (*guest.Module, error) {
	key, ok := s.key(p)
	if !ok {
		return nil, errNoPlugin
	}
	return s.load(ctx, key)
}

// key says where the module of a policy is.
func (s *pluginSet) key(p *model.Policy) (key moduleKey, ok bool) {
	if p.Source != (model.Source{}) {
		return moduleKey{source: p.Source, id: p.Plugin}, true
	}
	if path, ok := s.byFile[p.Plugin]; ok {
		return moduleKey{path: path}, true
	}
	return moduleKey{id: p.Plugin}, s.isBuiltin(p.Plugin)
}

// load is the module behind key.
func (s *pluginSet) load(ctx context.Context, key moduleKey) (*guest.Module, error) {
	s.mu.Lock()
	e, err := s.used[key], s.failed[key]
	s.mu.Unlock()
	if e != nil {
		return e.Module, nil
	}
	if err == nil {
		if key.source != (model.Source{}) {
			e, err = s.fromSource(ctx, key)
		} else {
			e, err = s.fromFile(ctx, key)
		}
		if err != nil {
			err = fmt.Errorf("load plugin %q: %w", key.name(), err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed[key] = err
		return nil, err
	}
	s.used[key] = e
	return e.Module, nil
}

// fromFile is the module of a file or of a built-in plugin, which is part of the binary and
// trusted as that is. Where there are rules about signatures, a file that did not change is
// read all the same: they may have, or its signature.
func (s *pluginSet) fromFile(ctx context.Context, key moduleKey) (*moduleEntry, error) {
	stamp, err := s.stamp(key)
	if err != nil {
		return nil, err
	}
	ruled := key.path != "" && s.ruled()
	if e := s.share(key, stamp); e != nil && !ruled {
		s.learn(e.Digest(), provenance{source: key.where()})
		return e, nil
	} else if e != nil {
		defer s.drop(e)
	}
	wasm, err := s.read(key)
	if err != nil {
		return nil, err
	}
	if key.path != "" {
		s.mu.Lock()
		s.digests[key.path] = sha256.Sum256(wasm)
		s.mu.Unlock()
	}
	made := provenance{source: key.where()}
	if ruled {
		signatures, err := source.SignaturesBeside(key.path)
		if err != nil {
			return nil, err
		}
		if made, err = s.check(key, signature.Dir, wasm, signatures); err != nil {
			return nil, err
		}
	}
	e, err := s.compiled(ctx, key, wasm, stamp)
	if err == nil {
		s.learn(e.Digest(), made)
	}
	return e, err
}

// compiled is wasm as the latest version of key: the one there is, or a new one.
func (s *pluginSet) compiled(ctx context.Context, key moduleKey, wasm []byte, stamp fileStamp) (*moduleEntry, error) {
	module, err := s.engine.Compile(ctx, key.name(), wasm) // once for equal bytes
	if err != nil {
		return nil, err
	}
	e := &moduleEntry{Module: module, stamp: stamp, refs: 2}
	s.modules.mu.Lock()
	old := s.latest[key]
	s.latest[key] = e
	s.modules.mu.Unlock()
	if old != nil {
		s.drop(old)
	}
	return e, nil
}

// share is the latest version of a plugin when its stamp says that it did not change.
func (m *modules) share(key moduleKey, stamp fileStamp) *moduleEntry {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.latest[key]
	if e == nil || !e.stamp.trusted || !stamp.trusted || e.stamp.size != stamp.size || !e.stamp.written.Equal(stamp.written) {
		return nil
	}
	e.refs++
	return e
}

func (m *modules) drop(e *moduleEntry) {
	m.mu.Lock()
	e.refs--
	last := e.refs == 0
	m.mu.Unlock()
	if last {
		e.Module.Release()
	}
}

// release gives back what s uses; policies that are bound keep what they need.
func (s *pluginSet) release() {
	for _, e := range s.used {
		s.drop(e)
	}
	clear(s.used)
}

// close gives back the latest versions; it is the end of m.
func (m *modules) close() {
	for _, e := range m.latest {
		m.drop(e)
	}
	clear(m.latest)
}

// stamp is the stamp of a plugin's file; a built-in one never changes.
func (s *pluginSet) stamp(key moduleKey) (fileStamp, error) {
	if key.path == "" {
		return fileStamp{trusted: true}, nil
	}
	info, err := os.Stat(key.path)
	if err != nil {
		return fileStamp{}, err
	}
	if info.Size() > s.maxBytes {
		return fileStamp{}, fmt.Errorf("%s is %d bytes, want at most %d (plugins.module_bytes)", key.path, info.Size(), s.maxBytes)
	}
	return fileStamp{info.Size(), info.ModTime(), time.Since(info.ModTime()) > stampGrain}, nil
}

func (s *pluginSet) read(key moduleKey) ([]byte, error) {
	if key.path != "" {
		return os.ReadFile(key.path)
	}
	return fs.ReadFile(s.builtins, key.id+".wasm")
}
