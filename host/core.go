package host

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"sync/atomic"

	"github.com/wasmgate/wasmgate/host/internal/cache"
	"github.com/wasmgate/wasmgate/host/internal/config"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/guest/proxywasm"
	"github.com/wasmgate/wasmgate/host/internal/observe"
	"github.com/wasmgate/wasmgate/host/internal/recording"
	"github.com/wasmgate/wasmgate/host/internal/throttle"
)

// core is what builds snapshots, without listeners: validate needs no more. One snapshot
// is built at a time.
type core struct {
	log      *slog.Logger
	observer *observe.Observer
	engine   *guest.Engine
	powers   *powers
	modules  *modules
	policies *policies
	rollouts *rollouts
	recorder *recording.Recorder
	current  *setup // what the current snapshot was built with

	closers []func() // in the order of opening
}

// setup is a process configuration with what is made anew when its part of it changes.
type setup struct {
	config  *config.Config
	forward *shared[*upstreams]
	cache   *shared[*cache.Cache]
	buckets *throttle.Store
	// generation tells routes apart that were compiled against other upstreams or caches.
	generation uint64
}

func (s *setup) release() {
	if s.cache != nil {
		s.cache.release()
	}
	if s.forward != nil {
		s.forward.release()
	}
}

// shared is something that several snapshots use; the last one to release it closes it.
type shared[T any] struct {
	value T
	refs  atomic.Int64
	close func()
}

func share[T any](value T, close func()) *shared[T] {
	s := &shared[T]{value: value, close: close}
	s.refs.Store(1)
	return s
}

func (s *shared[T]) retain() { s.refs.Add(1) }

func (s *shared[T]) release() {
	if s.refs.Add(-1) == 0 {
		s.close()
	}
}

// newCore opens everything but sockets. dataDir is where compiled plugins are kept.
func newCore(ctx context.Context, c *config.Config, builtins fs.FS, observer *observe.Observer, log *slog.Logger, dataDir string) (_ *core, err error) {
	k := &core{log: log, observer: observer}
	defer func() {
		if err != nil {
			k.close()
		}
	}()
	if k.current, err = k.setup(c); err != nil {
		return nil, err
	}
	if k.powers, err = newPowers(k.current, log); err != nil {
		return nil, err
	}
	k.closers = append(k.closers, k.powers.close)
	k.engine, err = guest.New(ctx, guest.Options{CacheDir: filepath.Join(dataDir, "compiled"),
		Fuel: c.Plugins.Fuel, Memory: uint64(c.Plugins.Memory), Instances: c.Plugins.Instances,
		MaxModuleBytes: c.Plugins.ModuleBytes, ABIs: foreignABIs(), Powers: k.powers.guest(), Logger: log})
	if err != nil {
		return nil, err
	}
	k.closers = append(k.closers, func() { k.engine.Close(context.Background()) })
	k.modules = &modules{engine: k.engine, builtins: builtins, dir: filepath.Join(dataDir, "plugins"), latest: make(map[moduleKey]*moduleEntry)}
	k.closers = append(k.closers, k.modules.close)
	k.openRecorder(dataDir)
	k.policies = &policies{engine: k.engine, recorder: k.recorder, observer: observer, bound: make(map[[32]byte]*boundPolicy),
		adapters: adapters{proxywasm.NewAdapter()}, instances: c.Plugins.Instances}
	k.closers = append(k.closers, k.policies.adapters.proxyWasm.Close)
	return k, nil
}

// setup is what c needs, with what is the same as now taken over.
func (k *core) setup(c *config.Config) (_ *setup, err error) {
	s := &setup{config: c}
	if k.current != nil && k.current.config.Throttle == c.Throttle {
		s.buckets = k.current.buckets
	} else {
		s.buckets = throttle.New(throttle.Options{Buckets: c.Throttle.Buckets}) // which forgets the levels
	}
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	old := k.current
	if old != nil {
		s.generation = old.generation
	}
	if old != nil && reflect.DeepEqual(old.config.Upstreams, c.Upstreams) {
		s.forward = old.forward
		s.forward.retain()
	} else if s.forward, err = newForward(c, k.log); err != nil {
		return nil, err
	} else {
		s.generation++
	}
	if old != nil && old.config.Cache == c.Cache {
		s.cache = old.cache
		s.cache.retain()
	} else if s.cache, err = newCache(c); err != nil {
		return nil, err
	} else {
		s.generation++
	}
	return s, nil
}

// adopt makes s the current setup.
func (k *core) adopt(s *setup) {
	old := k.current
	k.current = s
	k.powers.use(s)
	old.release()
}

func newForward(c *config.Config, log *slog.Logger) (*shared[*upstreams], error) {
	f, err := newForwarder(&c.Upstreams, log)
	if err != nil {
		return nil, err
	}
	return share(&upstreams{Forwarder: f, timeout: c.Upstreams.Timeout}, f.Close), nil
}

func newCache(c *config.Config) (*shared[*cache.Cache], error) {
	r, err := cache.New(cache.Options{Bytes: c.Cache.Bytes, MaxEntry: c.Cache.MaxEntry})
	if err != nil {
		return nil, err
	}
	return share(r, r.Close), nil
}

// close ends what newCore opened, the last first. The snapshots were given up before.
func (k *core) close() {
	for i := len(k.closers) - 1; i >= 0; i-- {
		k.closers[i]()
	}
	if k.current != nil {
		k.current.release()
	}
}

// Report is what [Validate] found.
type Report struct {
	// Warnings are what is left out without harm, as "file:line:column: ...".
	Warnings []string
	// APIs, Routes and Policies count what would serve.
	APIs, Routes, Policies int
}

// Validate loads everything as [Host.Run] does, and serves nothing: process file, API
// documents, plugins, and policies with their configs. What is wrong is one *[ConfigErrors].
func Validate(ctx context.Context, o Options) (_ *Report, err error) {
	defer func() { err = shown(o.Config, err) }()
	r := &Report{}
	err = loaded(ctx, o, func(s *snapshot) {
		r.Warnings, r.APIs, r.Policies = s.warnings, len(s.apis), len(s.policies)
		for _, a := range s.apis {
			r.Routes += len(a.routes)
		}
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// loaded builds a snapshot of the configuration, shows it to f and gives it back.
func loaded(ctx context.Context, o Options, f func(*snapshot)) error {
	dir := o.Config.DataDir
	if _, err := os.Stat(dir); err != nil {
		// A check leaves nothing behind where no gateway ran.
		if dir, err = os.MkdirTemp("", "wasmgate-validate-"); err != nil {
			return fmt.Errorf("validate: %w", err)
		}
		defer os.RemoveAll(dir)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	k, err := newCore(ctx, o.Config, o.Builtins, observe.New(observe.Options{Version: o.Version}), log, dir)
	if err != nil {
		return err
	}
	defer k.close()
	k.modules.trial = true
	s, err := k.build(ctx, k.current, nil)
	if err != nil {
		return err
	}
	defer s.serving.Discard()
	f(s)
	return nil
}
