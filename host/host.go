package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/audit"
	"github.com/wasmgate/wasmgate/host/internal/control"
	"github.com/wasmgate/wasmgate/host/internal/observe"
	"github.com/wasmgate/wasmgate/host/internal/pipeline"
)

// Options are for [New] and [Validate].
type Options struct {
	// Config is the process configuration; required.
	Config *Config
	// Builtins holds the built-in plugins as ID.wasm; nil is none.
	Builtins fs.FS
	// Stdout gets the access log when the configuration names no file; nil is os.Stdout.
	Stdout io.Writer
	// Stderr gets the operator's log; nil is os.Stderr.
	Stderr io.Writer
	// Version is told by /metrics and status.
	Version string
}

// Host is one gateway. Its methods are safe for concurrent use.
type Host struct {
	options Options
	started time.Time
	log     *slog.Logger
	ready   chan struct{}

	access   *observe.AccessLog // nil when it is off
	audit    *audit.Log
	refusal  string   // the last one recorded since the last load; guarded by reloading
	process  [32]byte // digest of the process file of the last load; guarded by reloading
	observer *observe.Observer
	core     *core
	pipeline *pipeline.Pipeline
	admin    *control.Server

	reloading sync.Mutex // one at a time: held while a snapshot is built and swapped

	draining sync.WaitGroup  // doors that were replaced
	fail     func(error)     // ends Run; set before anything serves
	serving  context.Context // ends when the host stops; for what outlives a call of Reload
	ended    chan struct{}   // closed when Run is over

	mu       sync.Mutex // guards what follows
	door     *door
	snapshot *snapshot
	reload   control.Reload
	ending   bool
	cancel   context.CancelFunc
	running  bool
	closed   bool
}

// New makes a host. It opens nothing; [Host.Run] does.
func New(o Options) (*Host, error) {
	if o.Config == nil {
		return nil, errors.New("new host: no Config")
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	log, err := observe.NewLogger(o.Stderr, o.Config.Log.Level, o.Config.Log.Format, o.Config.Scrub)
	if err != nil {
		return nil, fmt.Errorf("new host: %w", err)
	}
	return &Host{options: o, log: log, ready: make(chan struct{}), ended: make(chan struct{})}, nil
}

// Run opens everything, serves until ctx ends or Close is called, lets requests in flight
// finish, and closes everything. It may be called once. What is wrong in the
// configuration is one *[ConfigErrors].
func (h *Host) Run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.mu.Lock()
	if h.running || h.closed {
		h.mu.Unlock()
		return errors.New("run host: it runs already, or was closed")
	}
	h.running, h.cancel, h.started = true, cancel, time.Now()
	h.mu.Unlock()
	defer close(h.ended)
	defer func() { err = shown(h.options.Config, err) }()

	if err := h.openAccessLog(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.closeAccessLog()) }()
	if err := h.openAudit(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.closeAudit(err)) }()
	if err := h.open(ctx); err != nil {
		return err
	}
	defer h.core.close()
	defer h.pipeline.Swap(nil)
	return h.serve(ctx)
}

// open makes everything but sockets, and the first snapshot.
func (h *Host) open(ctx context.Context) error {
	c := h.options.Config
	h.observer = observe.New(observe.Options{Version: h.options.Version, Access: h.access,
		Certificates: h.certificateMetrics, Rollouts: h.rolloutMetrics, Gauges: h.gauges()})
	core, err := newCore(ctx, c, h.options.Builtins, h.observer, h.log, c.DataDir)
	if err != nil {
		return err
	}
	h.core = core
	if core.rollouts, err = openRollouts(ctx, c.DataDir, core.engine); err != nil {
		core.close()
		return err
	}
	core.closers = append(core.closers, core.rollouts.close)
	h.pipeline = pipeline.New(pipeline.Options{Observer: h.observer, Log: h.log})
	h.log.Info("loading; a plugin that was never compiled here takes a second or two", "apis", c.APIs.Dir, "plugins", c.Plugins.Dir)
	first, err := core.build(ctx, core.current, nil)
	if err != nil {
		h.recordRefusal(err)
		core.close()
		return err
	}
	if err := h.recordLoad(c, first); err != nil {
		first.serving.Discard()
		core.close()
		return err
	}
	h.swap(first)
	h.outdated(first)
	first.plugins.collect(h.log)
	return nil
}

// serve opens the sockets and waits for the end. A server that fails ends the others.
func (h *Host) serve(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	h.fail, h.serving = func(err error) { fail(err) }, ctx
	c := h.options.Config
	var err error
	if h.door, err = h.openDoor(c, nil, h.fail); err != nil {
		return err
	}
	if h.admin, err = control.New(control.Options{Address: c.Listen.Admin, DataDir: c.DataDir,
		Host: view{h}, Metrics: h.observer.Gatherer(), Commands: h.commands(), Log: h.log}); err == nil {
		err = h.admin.Listen()
	}
	if err != nil {
		h.door.close(ctx, h.log)
		return err
	}
	adminCtx, stopAdmin := context.WithCancel(context.WithoutCancel(ctx))
	h.log.Info("serving", "https", h.door.https(), "http", h.door.http(), "admin", h.admin.Addr().String(),
		"apis", len(h.snapshot.apis), "snapshot", short(h.snapshot.digest))
	close(h.ready) // from here on reloads may come
	var background sync.WaitGroup
	background.Go(func() {
		if err := h.admin.Run(adminCtx); err != nil {
			fail(err)
		}
	})
	background.Go(func() {
		if err := watch(ctx, h.log, h.watched, func() { _ = h.Reload(ctx) }); err != nil { // Reload logs and keeps its error
			fail(err)
		}
	})
	background.Go(func() { h.guardRollouts(ctx) })
	<-ctx.Done()
	h.drain()
	stopAdmin()
	background.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

// drain ends the door: readiness fails first, while the admin listener still answers.
func (h *Host) drain() {
	h.mu.Lock()
	h.ending = true // from here on no reload opens a door
	door, timeout := h.door, h.core.current.config.Timeouts.Shutdown
	h.mu.Unlock()
	h.log.Info("stopping")
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	door.close(ctx, h.log)
	h.reloading.Lock() // one that compiles a plugin cannot be broken off
	defer h.reloading.Unlock()
	h.draining.Wait()
}

// swap makes s current.
func (h *Host) swap(s *snapshot) {
	h.mu.Lock()
	h.snapshot, h.reload = s, control.Reload{Time: s.loaded}
	h.mu.Unlock()
	h.pipeline.Swap(s.serving)
	h.observer.Reloaded(true)
}

func (h *Host) openAccessLog() error {
	c := &h.options.Config.Log.Access
	if !c.Enabled {
		return nil
	}
	var err error
	if h.access, err = observe.OpenAccessLog(observe.AccessOptions{File: c.File, Writer: h.options.Stdout,
		Sample: c.Sample, RedactQuery: c.RedactQuery, Log: h.log}); err != nil {
		return fmt.Errorf("open access log: %w", err)
	}
	go func() { _ = h.access.Run(context.Background()) }() // it returns nil; Close ends it and waits
	return nil
}

func (h *Host) closeAccessLog() error {
	if h.access == nil {
		return nil
	}
	return h.access.Close()
}

// Ready is closed once all listeners accept.
func (h *Host) Ready() <-chan struct{} { return h.ready }

// Addresses are where the host listens, as host:port, once Ready is closed; http is empty
// when it is off.
func (h *Host) Addresses() (https, http, admin string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.door.https(), h.door.http(), h.admin.Addr().String()
}

// Close ends Run and waits for it. It is idempotent.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	running := h.running
	if h.cancel != nil {
		h.cancel()
	}
	h.mu.Unlock()
	if running {
		<-h.ended
	}
	return nil
}

func addrOf(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}
