package cache

import (
	"fmt"
	"io"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// flight is one fetch that others wait for.
type flight struct {
	done  chan struct{}
	entry *entry // what was stored
	err   error  // what to tell the others
}

// together fetches for all who want the same, or waits for who does.
func (s *serving) together() (Status, error) {
	for range 2 {
		f, leads := s.join()
		if leads {
			return s.lead(f)
		}
		var gone <-chan struct{}
		if s.x.Context != nil {
			gone = s.x.Context.Done()
		}
		select {
		case <-f.done:
		case <-gone:
			return Miss, s.x.Context.Err()
		}
		if f.err != nil {
			tell(s.x, "wasmgate; fwd="+s.why+"; collapsed")
			return Collapsed, f.err
		}
		if e := f.entry; e != nil && e.belongs(&s.r) && e.key == variant(&s.r.Key, e.vary, &s.x.Header) {
			return s.hit(e, Collapsed), nil
		}
		// The answer was another variant, or not to be shared: everyone for himself then, and
		// at once, or each would wait for one more.
		if s.lookup(); s.found != nil {
			return s.hit(s.found, Hit), nil
		}
		if f.entry == nil {
			break
		}
	}
	return s.alone(nil)
}

func (s *serving) join() (f *flight, leads bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.flights[s.key]; f != nil {
		return f, false
	}
	f = &flight{done: make(chan struct{})}
	s.flights[s.key] = f
	return f, true
}

// lead fetches and tells the others, even when fetch panics.
func (s *serving) lead(f *flight) (status Status, err error) {
	key := s.key
	defer func() {
		s.mu.Lock()
		delete(s.flights, key)
		s.mu.Unlock()
		close(f.done)
	}()
	// Another flight may have landed between the lookup and the join.
	if s.lookup(); s.found != nil {
		f.entry = s.found
		return s.hit(s.found, Hit), nil
	}
	status, err = s.alone(f)
	if err != nil && (s.x.Context == nil || s.x.Context.Err() == nil) {
		f.err = err
	}
	return status, err
}

// alone fetches and stores what may be stored. f, when not nil, learns of it.
func (s *serving) alone(f *flight) (Status, error) {
	// An entry belongs to the generation in which it was asked for, so that a flush holds.
	generation := s.r.Group.now()
	sent := s.options.Now()
	err := s.ask()
	got := s.options.Now()
	resp := &s.x.Response
	if s.stale != nil && s.stale.standsIn(err, resp.Status, got) {
		s.dropResponse()
		return s.hit(s.stale, Stale), nil
	}
	if err != nil {
		return Miss, err
	}
	e := s.storable(sent, got)
	if e != nil {
		e.group, e.generation = s.r.Group, generation
	}
	switch {
	case e == nil:
		s.passBy(f, generation, got)
	case resp.Stream != nil && resp.Length < 0:
		resp.Stream = &tee{ReadCloser: resp.Stream, serving: *s, entry: e}
	default:
		whole, err := s.readAll(e, got)
		if err != nil {
			s.dropResponse()
			return Miss, err
		}
		if !whole {
			s.passBy(f, generation, got)
			break
		}
		s.keep(e)
		if f != nil {
			f.entry = e
		}
		closing := resp.CloseConnection
		s.dropResponse()
		resp.CloseConnection = closing
		return s.hit(e, Miss), nil
	}
	tell(s.x, "wasmgate; fwd="+s.why)
	return Miss, nil
}

// ask runs fetch on the request without its validators: the whole answer is wanted, and
// each client's own are answered from it.
func (s *serving) ask() error {
	original := s.x.Header
	defer func() { s.x.Header = original }()
	s.x.Header = exchange.Header{}
	for name, value := range original.All() {
		if n := string(name); n != "if-none-match" && n != "if-modified-since" {
			s.x.Header.AppendAlias(name, value)
		}
	}
	return s.fetch()
}

func (s *serving) dropResponse() {
	if stream := s.x.Response.Stream; stream != nil {
		stream.Close()
	}
	s.x.Response.Reset()
}

// passBy notes that requests of this key had better not wait for each other for a while.
func (s *serving) passBy(f *flight, generation uint64, now time.Time) {
	if f != nil {
		s.put(&entry{kind: passing, key: s.key, group: s.r.Group, generation: generation,
			expires: now.Add(s.options.PassFor)}, s.options.PassFor)
	}
}

// patience is how long an answer to be stored may take to come in, while its client and
// all others wait for it.
const patience = 5 * time.Second

// readAll gives e its body, all of it: an answer that breaks off is an error, and nothing
// of it is kept or passed on. One that trickles in is passed on as it comes, not whole.
func (s *serving) readAll(e *entry, began time.Time) (whole bool, err error) {
	resp := &s.x.Response
	if resp.Stream == nil {
		e.body = append([]byte(nil), resp.Body...)
		return true, nil
	}
	// One byte more than announced, so that the end shows.
	e.body = make([]byte, resp.Length+1)
	for n := 0; ; {
		m, err := resp.Stream.Read(e.body[n:])
		n += m
		switch {
		case err == io.EOF && int64(n) == resp.Length:
			e.body = e.body[:n]
			s.dropStream()
			return true, nil
		case err != nil && err != io.EOF:
			return false, fmt.Errorf("read the answer to store: %w", err)
		case err == io.EOF, int64(n) > resp.Length:
			return false, fmt.Errorf("read the answer to store: got %d bytes, want %d", n, resp.Length)
		case s.options.Now().Sub(began) > patience:
			resp.Stream = &resumed{ReadCloser: resp.Stream, head: e.body[:n]}
			return false, nil
		}
	}
}

// resumed is a stream of which the head was read already.
type resumed struct {
	io.ReadCloser
	head []byte
}

// Read gives the head and then the stream.
func (r *resumed) Read(p []byte) (int, error) {
	if len(r.head) == 0 {
		return r.ReadCloser.Read(p)
	}
	n := copy(p, r.head)
	r.head = r.head[n:]
	return n, nil
}

func (s *serving) dropStream() {
	s.x.Response.Stream.Close()
	s.x.Response.Stream = nil
}

// keep stores e, and the list of fields it varies on where the plain key is looked up.
func (s *serving) keep(e *entry) {
	ttl := max(e.expires.Sub(s.options.Now()), 0) + e.grace
	if len(e.vary) > 0 {
		s.put(&entry{kind: variants, key: s.r.Key, group: s.r.Group, generation: e.generation, vary: e.vary}, max(ttl, time.Minute))
	}
	s.put(e, ttl)
}

// tee copies an answer of unknown length while it streams, and stores it when it came to
// its end. Nobody waits for it: the client's pace is not theirs.
type tee struct {
	io.ReadCloser
	serving
	entry *entry // nil once it is too long, stored or broken
}

// Read reads from the stream.
func (t *tee) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if t.entry == nil {
		return n, err
	}
	if int64(len(t.entry.body)+n) > t.options.MaxEntry {
		t.entry = nil
		return n, err
	}
	t.entry.body = append(t.entry.body, p[:n]...)
	if err == io.EOF && t.x.Response.Trailer.Len() == 0 {
		t.entry.body = append([]byte(nil), t.entry.body...) // cost is by length, so no spare capacity
		t.keep(t.entry)
	}
	if err != nil {
		t.entry = nil
	}
	return n, err
}
