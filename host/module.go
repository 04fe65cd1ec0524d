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

	"github.com/wasmgate/wasmgate/host/internal/document"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/model"
)

// modules keeps the compiled plugins of all snapshots, so that a file that did not change
// is neither read nor compiled again. It is safe for concurrent use.
type modules struct {
	engine   *guest.Engine
	builtins fs.FS

	mu     sync.Mutex
	latest map[string]*moduleEntry // by the path of a file or the id of a built-in plugin
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
// policy first asks, and all files of plugins.dir.
type pluginSet struct {
	*modules
	maxBytes int64

	mu     sync.Mutex
	used   map[string]*moduleEntry // by key
	byFile map[string]string       // key of a file's module, by the plugin's id
	broken map[string]bool         // files that were refused, by their names without .wasm
	read   map[string][32]byte     // digests of what was read, by key
}

// open lists dir, which may be absent, and compiles every file in it: a bad one is
// refused when it appears, not when it is bound. A plugin is called what its manifest
// says, or as its file without one. A built-in plugin's id is refused: who can drop a file
// must not be able to replace the authorizer.
func (m *modules) open(ctx context.Context, dir string, maxBytes int64) (*pluginSet, document.Errors) {
	s := &pluginSet{modules: m, maxBytes: maxBytes, used: make(map[string]*moduleEntry), byFile: make(map[string]string), broken: make(map[string]bool), read: make(map[string][32]byte)}
	var problems document.Errors
	report := func(file, got, want string) {
		problems = append(problems, document.Problem{Position: model.Position{File: file}, Got: got, Want: want})
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		report(dir, err.Error(), "a folder for plugins.dir")
	}
	var paths []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".wasm") && !strings.HasPrefix(e.Name(), ".") {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	failed := s.compile(ctx, paths)
	for _, path := range paths {
		if err := failed[path]; err != nil {
			if _, gone := os.Lstat(path); !errors.Is(gone, fs.ErrNotExist) { // or removed after it was listed
				problems = append(problems, refusal(model.Position{File: path}, "", err))
				s.broken[strings.TrimSuffix(filepath.Base(path), ".wasm")] = true
			}
			continue
		}
		id := s.used[path].pluginID(path)
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
	m.forget(paths)
	return s, problems
}

// forget gives back the latest versions of files that are gone.
func (m *modules) forget(paths []string) {
	m.mu.Lock()
	var gone []*moduleEntry
	for key, e := range m.latest {
		if isFile(key) && !slices.Contains(paths, key) {
			gone = append(gone, e)
			delete(m.latest, key)
		}
	}
	m.mu.Unlock()
	for _, e := range gone {
		m.drop(e)
	}
}

// refusal is what is wrong with a plugin, or with a policy's config, in its own words.
func refusal(at model.Position, path string, err error) document.Problem {
	if e, ok := errors.AsType[*guest.Error](err); ok {
		err = e.Err
	}
	return document.Problem{Position: at, Path: path, Got: err.Error()}
}

// pluginID is what the plugin of a file is called.
func (e *moduleEntry) pluginID(path string) string {
	if m := e.Manifest(); m != nil {
		return m.ID
	}
	return strings.TrimSuffix(filepath.Base(path), ".wasm")
}

// compile gets several modules at once, and gives the errors of those that are not to be had.
func (s *pluginSet) compile(ctx context.Context, keys []string) map[string]error {
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
	failed := make(map[string]error)
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

// get is the compiled module of a plugin, in use by s until [pluginSet.release].
func (s *pluginSet) get(ctx context.Context, id string) (*guest.Module, error) {
	if path, ok := s.byFile[id]; ok {
		return s.load(ctx, path)
	}
	if !s.isBuiltin(id) {
		return nil, errNoPlugin
	}
	return s.load(ctx, id)
}

// load is the module behind key: the path of a file, or the id of a built-in plugin.
func (s *pluginSet) load(ctx context.Context, key string) (*guest.Module, error) {
	s.mu.Lock()
	e := s.used[key]
	s.mu.Unlock()
	if e != nil {
		return e.Module, nil
	}
	id := strings.TrimSuffix(filepath.Base(key), ".wasm")
	stamp, err := s.stamp(key)
	if err != nil {
		return nil, fmt.Errorf("load plugin %q: %w", id, err)
	}
	if e := s.share(key, stamp); e != nil {
		return s.use(key, e), nil
	}
	wasm, err := s.bytes(key)
	if err != nil {
		return nil, fmt.Errorf("load plugin %q: %w", id, err)
	}
	s.mu.Lock()
	s.read[key] = sha256.Sum256(wasm)
	s.mu.Unlock()
	module, err := s.engine.Compile(ctx, id, wasm)
	if err != nil {
		return nil, fmt.Errorf("load plugin %q: %w", id, err)
	}
	e = &moduleEntry{Module: module, stamp: stamp, refs: 2}
	s.modules.mu.Lock()
	old := s.latest[key]
	s.latest[key] = e
	s.modules.mu.Unlock()
	if old != nil {
		s.drop(old)
	}
	return s.use(key, e), nil
}

// use puts e among what s uses.
func (s *pluginSet) use(key string, e *moduleEntry) *guest.Module {
	s.mu.Lock()
	s.used[key] = e
	s.mu.Unlock()
	return e.Module
}

// share is the latest version of a plugin when its stamp says that it did not change.
func (m *modules) share(key string, stamp fileStamp) *moduleEntry {
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

// isFile tells the path of a file from the id of a built-in plugin.
func isFile(key string) bool { return strings.HasSuffix(key, ".wasm") }

// stamp is the stamp of a plugin's file; a built-in one never changes.
func (s *pluginSet) stamp(key string) (fileStamp, error) {
	if !isFile(key) {
		return fileStamp{trusted: true}, nil
	}
	info, err := os.Stat(key)
	if err != nil {
		return fileStamp{}, err
	}
	if info.Size() > s.maxBytes {
		return fileStamp{}, fmt.Errorf("%s is %d bytes, want at most %d (plugins.module_bytes)", key, info.Size(), s.maxBytes)
	}
	return fileStamp{info.Size(), info.ModTime(), time.Since(info.ModTime()) > stampGrain}, nil
}

func (s *pluginSet) bytes(key string) ([]byte, error) {
	if isFile(key) {
		return os.ReadFile(key)
	}
	return fs.ReadFile(s.builtins, key+".wasm")
}
