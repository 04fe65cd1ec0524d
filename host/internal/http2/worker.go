package http2

import "sync"

// task is a request to answer, or, when st is nil, a connection whose buffer is to be written.
type task struct {
	c  *conn
	st *stream
}

// workers are goroutines that answer one request after the other: their stacks have grown
// to what a handler needs, which a new goroutine's would have to do for each request.
type workers struct {
	mu      sync.Mutex
	idle    []*worker // the last one that became idle is the next to work
	running sync.WaitGroup
	closed  bool
}

type worker struct {
	tasks chan task
	since int64
}

const (
	maxIdle  = 1024
	idleTime = 10e9 // nanoseconds
)

// start runs t on a worker.
func (p *workers) start(t task) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		w.tasks <- t // never waits: it has room for one, and only who took w sends
		return
	}
	p.running.Add(1)
	p.mu.Unlock()
	w := &worker{tasks: make(chan task, 1)}
	go w.run(p, t) // ends by prune or close, which waits for it
}

func (w *worker) run(p *workers, t task) {
	defer p.running.Done()
	for ok := true; ok; t, ok = <-w.tasks {
		t.run()
		if !p.park(w, t.c.s.o.Now()) {
			return
		}
	}
}

// park makes w idle; false when it is not needed any more.
func (p *workers) park(w *worker, now int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= maxIdle {
		return false
	}
	w.since = now
	p.idle = append(p.idle, w)
	return true
}

// prune ends workers that had nothing to do for long; they stand first.
func (p *workers) prune(now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.idle) && now-p.idle[n].since > idleTime {
		close(p.idle[n].tasks)
		n++
	}
	if n > 0 {
		kept := copy(p.idle, p.idle[n:])
		clear(p.idle[kept:])
		p.idle = p.idle[:kept]
	}
}

// close ends all workers and waits for them.
func (p *workers) close() {
	p.mu.Lock()
	p.closed = true
	for _, w := range p.idle {
		close(w.tasks)
	}
	p.idle = nil
	p.mu.Unlock()
	p.running.Wait()
}

func (t task) run() {
	if t.st == nil {
		t.c.flushTask()
		return
	}
	t.st.serve()
}
