package host

import (
	"context"
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
	latest map[string]*moduleEntry // by id
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
	files    map[string]string // id -> path
	maxBytes int64

	mu   sync.Mutex
	used map[string]*moduleEntry
}

// open lists dir, which may be absent, and compiles every file in it: a bad one is
// refused when it appears, not when it is bound. A file in the place of a built-in plugin
// is refused: who can drop a file must not be able to replace the authorizer.
func (m *modules) open(ctx context.Context, dir string, maxBytes int64) (*pluginSet, document.Errors) {
	s := &pluginSet{modules: m, files: make(map[string]string), maxBytes: maxBytes, used: make(map[string]*moduleEntry)}
	var problems document.Errors
	report := func(file, got, want string) {
		problems = append(problems, document.Problem{Position: model.Position{File: file}, Got: got, Want: want})
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		report(dir, err.Error(), "a folder for plugins.dir")
	}
	for _, e := range entries {
		id, isWasm := strings.CutSuffix(e.Name(), ".wasm")
		path := filepath.Join(dir, e.Name())
		switch {
		case !isWasm || strings.HasPrefix(e.Name(), "."):
		case !pluginID.MatchString(id):
			report(path, "plugin id "+strconv.Quote(id), pluginID.String())
		case m.isBuiltin(id):
			report(path, "the id of a built-in plugin", "an id of its own")
		default:
			s.files[id] = path
		}
	}
	for id, err := range s.compile(ctx, slices.Collect(maps.Keys(s.files))) {
		if _, gone := os.Lstat(s.files[id]); errors.Is(gone, fs.ErrNotExist) {
			delete(s.files, id) // removed after it was listed
			continue
		}
		report(s.files[id], err.Error(), "")
	}
	return s, problems
}

// compile gets several plugins at once, and gives the errors of those that are not to be had.
func (s *pluginSet) compile(ctx context.Context, ids []string) map[string]error {
	errs := make([]error, len(ids))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, id := range ids {
		group.Go(func() error { // waited for below
			_, errs[i] = s.get(ctx, id)
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	failed := make(map[string]error)
	for i, id := range ids {
		if errs[i] != nil {
			failed[id] = errs[i]
		}
	}
	return failed
}

// ids is every plugin that there is, for errors.
func (s *pluginSet) ids() []string {
	ids := slices.Collect(maps.Keys(s.files))
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
	s.mu.Lock()
	e := s.used[id]
	s.mu.Unlock()
	if e != nil {
		return e.Module, nil
	}
	stamp, err := s.stamp(id)
	if err != nil {
		return nil, fmt.Errorf("load plugin %q: %w", id, err)
	}
	if e := s.share(id, stamp); e != nil {
		return s.use(id, e), nil
	}
	wasm, err := s.read(id)
	if err != nil {
		return nil, fmt.Errorf("load plugin %q: %w", id, err)
	}
	module, err := s.engine.Compile(ctx, id, wasm)
	if err != nil {
		return nil, fmt.Errorf("load plugin %q: %w", id, err)
	}
	e = &moduleEntry{Module: module, stamp: stamp, refs: 2}
	s.modules.mu.Lock()
	old := s.latest[id]
	s.latest[id] = e
	s.modules.mu.Unlock()
	if old != nil {
		s.drop(old)
	}
	return s.use(id, e), nil
}

// use puts e among what s uses.
func (s *pluginSet) use(id string, e *moduleEntry) *guest.Module {
	s.mu.Lock()
	s.used[id] = e
	s.mu.Unlock()
	return e.Module
}

// share is the latest version of a plugin when its stamp says that it did not change.
func (m *modules) share(id string, stamp fileStamp) *moduleEntry {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.latest[id]
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
func (s *pluginSet) stamp(id string) (fileStamp, error) {
	path, ok := s.files[id]
	if !ok {
		if s.isBuiltin(id) {
			return fileStamp{trusted: true}, nil
		}
		return fileStamp{}, errNoPlugin
	}
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}, err
	}
	if info.Size() > s.maxBytes {
		return fileStamp{}, fmt.Errorf("%s is %d bytes, want at most %d (plugins.module_bytes)", path, info.Size(), s.maxBytes)
	}
	return fileStamp{info.Size(), info.ModTime(), time.Since(info.ModTime()) > stampGrain}, nil
}

func (s *pluginSet) read(id string) ([]byte, error) {
	if path, ok := s.files[id]; ok {
		return os.ReadFile(path)
	}
	return fs.ReadFile(s.builtins, id+".wasm")
}
