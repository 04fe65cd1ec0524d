package guest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// Engine compiles and runs plugins. It is safe for concurrent use. All modules and
// policies must be given back before it is closed.
type Engine struct {
	options Options
	log     *slog.Logger
	runtime wazero.Runtime
	native  wazero.CompilationCache
	disk    *diskCache // nil without a cache on disk
	shims   map[string]shim
	pagemap *pagemap

	mu      sync.Mutex
	modules map[[32]byte]*compiled
	closed  bool
}

// New makes an engine. A compilation cache that cannot be used is logged and done without.
// The caller closes the engine.
func New(ctx context.Context, o Options) (*Engine, error) {
	o = o.withDefaults()
	e := &Engine{options: o, log: o.Logger, modules: map[[32]byte]*compiled{}, shims: wasi(), pagemap: openPagemap()}
	if o.CacheDir != "" {
		if err := e.openCache(o.CacheDir); err != nil {
			o.Logger.Warn("compile without a cache on disk", "error", err)
		}
	}
	if e.native == nil {
		e.native = wazero.NewCompilationCache()
	}
	// Debug information is for the original's offsets, and wazero's parser of it need not
	// see what strangers wrote. Interruption by context is not used: fuel is.
	e.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
		WithCoreFeatures(api.CoreFeaturesV2).WithDebugInfoEnabled(false).WithCompilationCache(e.native))
	if err := e.addHostModules(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start plugin engine: %w", err), e.Close(ctx))
	}
	return e, nil
}

// Powers are what the capabilities of its policies reach.
func (e *Engine) Powers() Powers { return e.options.Powers }

func (e *Engine) openCache(dir string) error {
	disk, err := openDiskCache(dir)
	if err != nil {
		return err
	}
	native, err := wazero.NewCompilationCacheWithDir(filepath.Clean(dir))
	if err != nil {
		return fmt.Errorf("open compilation cache: %w", err)
	}
	e.disk, e.native = disk, native
	return nil
}

// Close ends the engine and what still runs in it. It may be called again.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	e.mu.Unlock()
	return errors.Join(e.runtime.Close(ctx), e.native.Close(ctx), e.pagemap.close())
}

// native code of one rewritten module; wazero may panic on what it has a fault with, which
// must not cost more than the module.
func (e *Engine) compile(ctx context.Context, wasm []byte) (m wazero.CompiledModule, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("compiler panicked: %v", v)
		}
	}()
	ctx = experimental.WithCompilationWorkers(ctx, workers())
	m, err = e.runtime.CompileModule(ctx, wasm)
	if err == nil || e.disk == nil || !isCacheError(err) {
		return m, err
	}
	// A file that was damaged since the start, or a disk that is full: neither may refuse a
	// plugin. Without its files the cache misses, and what could not be written is in memory.
	e.log.Warn("compilation cache failed and is emptied", "error", errors.Join(err, e.disk.clear()))
	return e.runtime.CompileModule(ctx, wasm)
}

// isCacheError tells a failure of wazero's cache on disk from a fault of the module.
func isCacheError(err error) bool {
	var path *fs.PathError
	var link *os.LinkError
	return errors.As(err, &path) || errors.As(err, &link) || strings.Contains(err.Error(), "compilationcache: ")
}
