package observe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// AccessOptions are the choices of an [AccessLog].
type AccessOptions struct {
	// File is appended to and may be replaced under it, see [AccessLog.Reopen]; empty
	// writes to Writer.
	File string
	// Writer is for an empty File; nil is standard output.
	Writer io.Writer
	// Sample is the share, 0 to 1, of the requests below 400 that are logged; those of
	// 400 and above, and those without an answer, always are.
	Sample float64
	// RedactQuery are the query parameters, and the labels, whose values are not logged;
	// case does not matter.
	RedactQuery []string
	// Queue is the bytes that may wait to be written; 0 is 4 MiB.
	Queue int
	// Log hears of failures; nil is slog.Default().
	Log *slog.Logger
}

const (
	queueBytes = 4 << 20
	// flushAfter bounds how long a line waits: a busy log is written in large pieces.
	flushAfter = 200 * time.Millisecond
	flushBytes = 64 << 10
)

// dropReasons are why lines are lost.
var dropReasons = [...]string{"queue_full", "write_failed"}

// AccessLog writes one JSON line a request. It is safe for concurrent use.
type AccessLog struct {
	o      AccessOptions
	redact redactor
	limit  uint64 // seeds below it are logged
	log    *slog.Logger

	mu      sync.Mutex
	queue   []byte // whole lines
	lines   int64  // in queue
	closed  bool
	wake    chan struct{}
	writing sync.Mutex // one writer; guards what follows
	spare   []byte
	out     io.Writer
	file    *os.File // nil when out is not ours
	failing bool

	dropped [len(dropReasons)]atomic.Int64
	running sync.WaitGroup
	stop    context.CancelFunc
}

// OpenAccessLog opens the file. The caller runs [AccessLog.Run] and calls [AccessLog.Close].
func OpenAccessLog(o AccessOptions) (*AccessLog, error) {
	if o.Sample < 0 || o.Sample > 1 || math.IsNaN(o.Sample) {
		return nil, fmt.Errorf("open access log: sample %v, want 0 to 1", o.Sample)
	}
	if o.Queue == 0 {
		o.Queue = queueBytes
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	a := &AccessLog{o: o, redact: newRedactor(o.RedactQuery), log: o.Log, wake: make(chan struct{}, 1)}
	if a.limit = uint64(o.Sample * (1 << 53)); o.Sample == 1 {
		a.limit = math.MaxUint64
	}
	if err := a.open(); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *AccessLog) open() error {
	if a.o.File == "" {
		a.out = a.o.Writer
		if a.out == nil {
			a.out = os.Stdout
		}
		return nil
	}
	// 0640: the log names clients and what they asked for.
	f, err := os.OpenFile(a.o.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("open access log: %w", err)
	}
	a.file, a.out = f, f
	return nil
}

func (a *AccessLog) wants(status int, seed uint64) bool {
	return status < 100 || status >= 400 || seed>>11 < a.limit
}

// scratches hold a line while it is made.
var scratches = sync.Pool{New: func() any { return new(scratch) }}

type scratch struct{ line, query []byte }

// Log queues one line, unless sampling leaves it out or the queue is full. It never waits
// for the writer.
func (a *AccessLog) Log(e *Entry) {
	if !a.wants(e.Status, e.Seed) {
		return
	}
	s := scratches.Get().(*scratch)
	s.line = e.append(s.line[:0], &a.redact, &s.query)
	a.mu.Lock()
	if a.closed || len(a.queue)+len(s.line) > a.o.Queue {
		a.dropped[0].Add(1)
	} else {
		a.queue = append(a.queue, s.line...)
		a.lines++
	}
	full := len(a.queue) >= flushBytes
	a.mu.Unlock()
	scratches.Put(s)
	if full {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// Run writes what is queued until ctx ends or Close is called, and then what is left.
// Call it once. It returns nil.
func (a *AccessLog) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.mu.Lock()
	if a.closed || a.stop != nil {
		a.mu.Unlock()
		return nil
	}
	a.stop = cancel
	a.running.Add(1)
	a.mu.Unlock()
	defer a.running.Done()
	tick := time.NewTicker(flushAfter)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			a.flush()
			return nil
		case <-a.wake:
		case <-tick.C:
		}
		a.flush()
	}
}

func (a *AccessLog) flush() {
	a.writing.Lock()
	defer a.writing.Unlock()
	a.mu.Lock()
	data, lines := a.queue, a.lines
	a.queue, a.lines = a.spare[:0], 0
	a.mu.Unlock()
	a.spare = data[:0]
	if len(data) == 0 {
		return
	}
	_, err := a.out.Write(data)
	if err != nil {
		a.dropped[1].Add(lines)
	}
	if failing := err != nil; failing != a.failing { // once for each time it breaks and heals
		a.failing = failing
		if failing {
			a.log.Error("access log cannot be written, its lines are lost", "error", err)
		} else {
			a.log.Info("access log is written again")
		}
	}
}

// Reopen opens the file again by its name, after logrotate has moved it away. On an error
// the old one is kept.
func (a *AccessLog) Reopen() error {
	a.flush()
	a.writing.Lock()
	defer a.writing.Unlock()
	old := a.file
	if err := a.open(); err != nil || old == nil {
		return err
	}
	return old.Close()
}

// Close writes what is queued, waits for Run and closes the file. Further calls do
// nothing; lines that come later are dropped and counted.
func (a *AccessLog) Close() error {
	a.mu.Lock()
	closed, stop := a.closed, a.stop
	a.closed = true
	a.mu.Unlock()
	if stop != nil {
		stop()
		a.running.Wait()
	}
	if closed {
		return nil
	}
	a.flush()
	a.writing.Lock()
	defer a.writing.Unlock()
	if a.file == nil {
		return nil
	}
	return errors.Join(a.file.Sync(), a.file.Close())
}
