package forward

import "github.com/wasmgate/wasmgate/host/internal/exchange"

// owner is who is charged for a connection to an upstream: the client's connection that
// the request came over; nil is nobody.
type owner = *exchange.Conn

// shares keeps a part of an upstream's connections out of the reach of those who have many.
// Requests that stall hold a connection each for as long as the time limits let them, and
// one client can have a hundred of them on each of a few connections of HTTP/2: without
// shares, three such clients leave nothing to anybody else.
//
// Half of the connections go to whoever comes first. Of the other half each owner may have
// one, and beyond that a sixteenth at most, and no more than its share among all owners and
// one more who may still come. The zero value is ready; its caller sees to it that one
// goroutine at a time uses it.
type shares struct {
	held map[owner]int // of the second half
}

// may tells whether o may have another connection when that many of most are used.
func (s *shares) may(o owner, used, most int) bool {
	first := most / 2
	if used < first || o == nil {
		return true
	}
	n, rest := s.held[o], most-first
	return n == 0 || n < min(rest/16, rest/(len(s.held)+1))
}

// charge notes that o, who may, has another; it returns who is charged.
func (s *shares) charge(o owner, used, most int) owner {
	if used < most/2 || o == nil {
		return nil
	}
	if s.held == nil {
		s.held = make(map[owner]int)
	}
	s.held[o]++
	return o
}

// discharge takes back what charge noted.
func (s *shares) discharge(charged owner) {
	if charged == nil {
		return
	}
	if s.held[charged]--; s.held[charged] == 0 {
		delete(s.held, charged)
	}
}
