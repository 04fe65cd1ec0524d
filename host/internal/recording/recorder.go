package recording

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/wasmgate/wasmgate/host/internal/guest"
)

// Options are for [New]. All are needed.
type Options struct {
	// Engine runs the plugins that are recorded.
	Engine *guest.Engine
	// Dir is where the recordings go, a folder a plugin.
	Dir string
	// MaxBytes is the most that the files of one plugin take.
	MaxBytes func() int64
	// Known gives what is a secret in every recording, as it is now.
	Known func() Rules
	// Count counts a recording by what became of it, one of the outcomes.
	Count func(plugin, outcome string)
	Log   *slog.Logger
	// Random gives a number from 0 to 1.
	Random func() float64
}

// What becomes of a call that was to be recorded.
const (
	Written  = "written"
	Busy     = "busy"     // too many wait
	Large    = "large"    // its record and answers are longer than a MiB
	Refused  = "refused"  // the plugin does not take its config without secrets
	Unstable = "unstable" // two runs differed
	Failed   = "failed"   // the disk
)

const (
	maxWaiting = 64
	maxItem    = 1 << 20
	maxBytes   = 16 << 20 // of all that waits
)

// Recorder writes recordings. It is safe for concurrent use. [Recorder.Close] ends it.
type Recorder struct {
	options Options
	queue   chan *Call
	bytes   atomic.Int64 // of what waits
	number  uint64       // of the file; the worker's
	store   store        // the worker's

	start  sync.Once
	ctx    context.Context
	cancel context.CancelFunc
	ended  sync.WaitGroup
}

// New makes a recorder. It opens nothing: the worker starts with the first call.
func New(o Options) *Recorder {
	r := &Recorder{options: o, queue: make(chan *Call, maxWaiting), store: store{dir: o.Dir, folders: map[string]*folder{}}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Close ends the worker and waits for it; what waits is given up. Policies were closed
// before. It may be called again.
func (r *Recorder) Close() {
	r.start.Do(func() {}) // from here on none starts
	r.cancel()
	r.ended.Wait()
	for {
		select {
		case c := <-r.queue:
			r.leave(c)
		default:
			return
		}
	}
}

// enqueue hands a call to the worker, or drops it.
func (r *Recorder) enqueue(c *Call) {
	size := int64(c.size())
	if c.tape.bytes > maxItem || size > maxItem {
		r.options.Count(c.policy.id, Large)
		return
	}
	if r.bytes.Add(size) > maxBytes {
		r.bytes.Add(-size)
		r.options.Count(c.policy.id, Busy)
		return
	}
	c.policy.retain()
	select {
	case r.queue <- c:
		r.start.Do(func() { r.ended.Go(r.work) }) // ends with ctx; Close waits
	default:
		r.options.Count(c.policy.id, Busy)
		r.leave(c)
	}
}

// leave ends a call's place in the queue.
func (r *Recorder) leave(c *Call) {
	r.bytes.Add(-int64(c.size()))
	c.policy.release()
}

func (r *Recorder) work() {
	for {
		select {
		case <-r.ctx.Done():
			return
		case c := <-r.queue:
			if !c.policy.closed.Load() {
				r.record(c)
			}
			r.leave(c)
		}
	}
}

// record writes one recording, and counts what became of it.
func (r *Recorder) record(c *Call) {
	outcome, err := r.write(c)
	if r.ctx.Err() != nil {
		return // the host stops
	}
	if err != nil {
		r.options.Log.Warn("call is not recorded", "plugin", c.policy.id, "hook", c.hook.String(), "why", outcome, "error", err)
	}
	r.options.Count(c.policy.id, outcome)
}
