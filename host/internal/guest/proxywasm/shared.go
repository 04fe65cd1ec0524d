package proxywasm

import (
	"sync"
)

// Limits of what the plugins of one VM id share.
const (
	maxSharedBytes = 64 << 20 // keys, values and queued items, with their overhead
	maxQueues      = 1024
	maxQueued      = 16384 // items of one queue
	maxNameBytes   = 4096
	entryOverhead  = 128
)

// shared is the data and queues of all VM ids. It is safe for concurrent use.
type shared struct {
	mu     sync.Mutex
	spaces map[string]*space
	queues map[uint32]*queue
	next   uint32 // id of the next queue
}

// space is what belongs to one VM id, as long as a plugin of that id is bound.
type space struct {
	refs   int
	served bool // a plugin of this id has begun to serve
	data   map[string]*datum
	queues map[string]*queue
	bytes  int
}

type datum struct {
	value []byte
	cas   uint32
}

type queue struct {
	id       uint32
	space    *space
	items    [][]byte
	owner    *vm // that registered last; nil when it is gone
	unspoken int // items that nobody was told of, as there was no owner
}

func newShared() *shared {
	return &shared{spaces: map[string]*space{}, queues: map[uint32]*queue{}, next: 1}
}

// join is the space of a VM id, there until as many leave as joined.
func (s *shared) join(vmID string) *space {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp := s.spaces[vmID]
	if sp == nil {
		sp = &space{data: map[string]*datum{}, queues: map[string]*queue{}}
		s.spaces[vmID] = sp
	}
	sp.refs++
	return sp
}

func (s *shared) leave(vmID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp := s.spaces[vmID]
	if sp.refs--; sp.refs > 0 {
		return
	}
	delete(s.spaces, vmID)
	for _, q := range sp.queues {
		delete(s.queues, q.id)
	}
}

// serves says that a plugin of the space begins to count.
func (s *shared) serves(sp *space) {
	s.mu.Lock()
	sp.served = true
	s.mu.Unlock()
}

// get is a value and its number; nobody changes it afterwards.
func (s *shared) get(sp *space, key string) ([]byte, uint32, status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := sp.data[key]
	if d == nil {
		return nil, 0, statusNotFound
	}
	return d.value, d.cas, statusOK
}

// set keeps a value; cas, when it is not 0, must be the number that the value there has. A
// guest that starts sets what it finds anew to its beginning: beside one that serves
// already, that would throw away what the other has counted, so it is not done.
func (s *shared) set(sp *space, key string, value []byte, cas uint32, starts bool) status {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := sp.data[key]
	switch {
	case cas != 0 && (d == nil || d.cas != cas):
		return statusCASMismatch
	case d != nil && starts && sp.served && cas == 0:
		return statusOK
	}
	grow := len(value)
	if d == nil {
		grow += len(key) + entryOverhead
	} else {
		grow -= len(d.value)
	}
	if grow > 0 && sp.bytes+grow > maxSharedBytes {
		return statusInternal
	}
	sp.bytes += grow
	if d == nil {
		d = &datum{}
		sp.data[key] = d
	}
	d.value = append([]byte{}, value...)
	if d.cas++; d.cas == 0 { // 0 means any
		d.cas = 1
	}
	return statusOK
}

// register is the queue of a name in the caller's own space. The caller is told of what
// comes from now on, and of what came while nobody was there.
func (s *shared) register(v *vm, sp *space, name string) (uint32, status) {
	s.mu.Lock()
	q := sp.queues[name]
	if q == nil {
		if len(sp.queues) >= maxQueues || sp.bytes+len(name)+entryOverhead > maxSharedBytes {
			s.mu.Unlock()
			return 0, statusInternal
		}
		q = &queue{id: s.next, space: sp}
		s.next++
		sp.bytes += len(name) + entryOverhead
		sp.queues[name] = q
		s.queues[q.id] = q
	}
	q.owner = v
	unspoken := q.unspoken
	q.unspoken = 0
	s.mu.Unlock()
	v.queueReady(q.id, unspoken)
	return q.id, statusOK
}

// resolve is the queue that somebody registered under a VM id and a name.
func (s *shared) resolve(vmID, name string) (uint32, status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sp := s.spaces[vmID]; sp != nil {
		if q := sp.queues[name]; q != nil {
			return q.id, statusOK
		}
	}
	return 0, statusNotFound
}

// enqueue appends an item and tells the queue's owner.
func (s *shared) enqueue(id uint32, item []byte) status {
	s.mu.Lock()
	q := s.queues[id]
	if q == nil {
		s.mu.Unlock()
		return statusNotFound
	}
	if size := len(item) + entryOverhead; len(q.items) >= maxQueued || q.space.bytes+size > maxSharedBytes {
		s.mu.Unlock()
		return statusInternal
	} else {
		q.space.bytes += size
	}
	q.items = append(q.items, append([]byte{}, item...))
	owner := q.owner
	if owner == nil {
		q.unspoken++
	}
	s.mu.Unlock()
	if owner != nil {
		owner.queueReady(id, 1)
	}
	return statusOK
}

// dequeue takes the first item.
func (s *shared) dequeue(id uint32) ([]byte, status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[id]
	switch {
	case q == nil:
		return nil, statusNotFound
	case len(q.items) == 0:
		return nil, statusEmpty
	}
	item := q.items[0]
	q.items[0] = nil
	if q.items = q.items[1:]; len(q.items) == 0 {
		q.items = nil // gives the room back
	}
	q.space.bytes -= len(item) + entryOverhead
	return item, statusOK
}

// orphan takes a VM that is gone out of its queues. untold is what it was not told of any
// more, by queue: whoever registers next is.
func (s *shared) orphan(v *vm, untold map[uint32]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		if q.owner == v {
			q.owner = nil
			q.unspoken = min(q.unspoken+untold[q.id], len(q.items))
		}
	}
}
