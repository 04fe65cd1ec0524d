package guest

import (
	"container/heap"
	"sync"
	"time"
)

// maxSpace is how many bytes of keys and values one plugin may keep.
const maxSpace = 16 << 20

// itemOverhead is about what one value takes besides its bytes.
const itemOverhead = 128

// memoryKV is a KV in memory.
type memoryKV struct {
	now func() time.Time

	mu     sync.Mutex
	spaces map[string]*space
}

// NewKV is a key-value store in memory: 16 MiB for each plugin, values with their time to
// live. A full space refuses new values. Values that ended are freed when their plugin
// next writes.
func NewKV(now func() time.Time) KV {
	return &memoryKV{now: now, spaces: map[string]*space{}}
}

// space is what one plugin keeps.
type space struct {
	items map[string]*item
	ends  ending
	bytes int
}

type item struct {
	key   string
	value []byte
	end   time.Time // zero is never
	place int       // in ends; -1 is none
}

func (i *item) size() int { return len(i.key) + len(i.value) + itemOverhead }

func (k *memoryKV) Get(plugin, key string) ([]byte, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.spaces[plugin]
	if s == nil {
		return nil, false
	}
	i := s.items[key]
	if i == nil || i.place >= 0 && !k.now().Before(i.end) {
		return nil, false
	}
	return i.value, true
}

func (k *memoryKV) Set(plugin, key string, value []byte, ttl time.Duration) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.spaces[plugin]
	if s == nil {
		s = &space{items: map[string]*item{}}
		k.spaces[plugin] = s
	}
	now := k.now()
	for len(s.ends) > 0 && !now.Before(s.ends[0].end) {
		s.remove(s.ends[0])
	}
	i := &item{key: key, value: append([]byte(nil), value...), place: -1}
	old := 0
	if o := s.items[key]; o != nil {
		old = o.size()
	}
	if s.bytes-old+i.size() > maxSpace {
		return false
	}
	if o := s.items[key]; o != nil {
		s.remove(o)
	}
	s.items[key] = i
	s.bytes += i.size()
	if ttl > 0 {
		i.end = now.Add(ttl)
		heap.Push(&s.ends, i)
	}
	return true
}

func (k *memoryKV) Delete(plugin, key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.spaces[plugin]
	if s == nil {
		return
	}
	if i := s.items[key]; i != nil {
		s.remove(i)
	}
	if len(s.items) == 0 {
		delete(k.spaces, plugin)
	}
}

func (s *space) remove(i *item) {
	if i.place >= 0 {
		heap.Remove(&s.ends, i.place)
	}
	delete(s.items, i.key)
	s.bytes -= i.size()
}

// ending is a heap of items by their end.
type ending []*item

func (e ending) Len() int           { return len(e) }
func (e ending) Less(i, j int) bool { return e[i].end.Before(e[j].end) }
func (e ending) Swap(i, j int)      { e[i], e[j] = e[j], e[i]; e[i].place, e[j].place = i, j }

// Push is for package heap.
func (e *ending) Push(x any) {
	i := x.(*item)
	i.place = len(*e)
	*e = append(*e, i)
}

// Pop is for package heap.
func (e *ending) Pop() any {
	last := len(*e) - 1
	i := (*e)[last]
	(*e)[last] = nil
	*e = (*e)[:last]
	i.place = -1
	return i
}
