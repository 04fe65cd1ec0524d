package pipeline

import (
	"sync"
	"time"
)

// verdicts keeps plans that hold for an identity, by the hash of the identity's tuple:
// neither a token nor a key stands in it, and two identities never share an entry.
// It is safe for concurrent use and never holds more than its capacity.
type verdicts struct {
	shards [16]verdictShard
	each   int // capacity of a shard
}

type verdictShard struct {
	mu    sync.RWMutex
	plans map[verdictKey]*plan
}

type verdictKey [32]byte

func newVerdicts(capacity int) *verdicts {
	v := &verdicts{each: max(capacity/16, 1)}
	for i := range v.shards {
		v.shards[i].plans = make(map[verdictKey]*plan)
	}
	return v
}

// get is the plan under key that still holds at now, or nil.
func (v *verdicts) get(key verdictKey, now time.Time) *plan {
	s := &v.shards[key[0]&15]
	s.mu.RLock()
	p := s.plans[key]
	s.mu.RUnlock()
	if p == nil || !now.Before(p.expires) {
		return nil
	}
	return p
}

// put keeps p under key until p.expires. A full shard gives up the entry that ends first
// among a few, so that invented identities push each other out before they cost memory.
func (v *verdicts) put(key verdictKey, p *plan) {
	s := &v.shards[key[0]&15]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.plans[key]; !known && len(s.plans) >= v.each {
		var first verdictKey
		var ends time.Time
		looked := 0
		for k, q := range s.plans {
			if looked == 0 || q.expires.Before(ends) {
				first, ends = k, q.expires
			}
			if looked++; looked == 8 {
				break
			}
		}
		delete(s.plans, first)
	}
	s.plans[key] = p
}
