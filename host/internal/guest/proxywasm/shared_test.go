package proxywasm

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"testing"
)

func TestSharedDataByCompareAndSwap(t *testing.T) {
	s := newShared()
	sp, other := s.join("a"), s.join("b")
	if _, _, st := s.get(sp, "k"); st != statusNotFound {
		t.Errorf("get of nothing: %d, want %d", st, statusNotFound)
	}
	if st := s.set(sp, "k", []byte("x"), 7, false); st != statusCASMismatch {
		t.Errorf("set with a number where there is nothing: %d, want %d", st, statusCASMismatch)
	}
	if st := s.set(sp, "k", nil, 0, false); st != statusOK {
		t.Errorf("set: %d", st)
	}
	v, cas, st := s.get(sp, "k")
	if st != statusOK || len(v) != 0 || cas == 0 {
		t.Errorf("an empty value: %q, %d, %d, want it with a number", v, cas, st)
	}
	if st := s.set(sp, "k", []byte("y"), cas, false); st != statusOK {
		t.Errorf("set with the right number: %d", st)
	}
	if st := s.set(sp, "k", []byte("z"), cas, false); st != statusCASMismatch {
		t.Errorf("set with a stale number: %d, want %d", st, statusCASMismatch)
	}
	if st := s.set(sp, "k", []byte("z"), 0, false); st != statusOK {
		t.Errorf("set that forces: %d", st)
	}
	if _, _, st := s.get(other, "k"); st != statusNotFound {
		t.Errorf("another VM id sees it: %d", st)
	}
}

func TestSharedDataOutlivesASecondStart(t *testing.T) {
	s := newShared()
	sp := s.join("a")
	s.set(sp, "count", []byte("0"), 0, true)
	s.set(sp, "count", []byte("1"), 0, true) // the second VM, before any serves
	s.serves(sp)
	s.set(sp, "count", []byte("42"), 0, false)
	if st := s.set(sp, "count", []byte("0"), 0, true); st != statusOK {
		t.Errorf("set at a second start: %d, want %d", st, statusOK)
	}
	if v, _, _ := s.get(sp, "count"); string(v) != "42" {
		t.Errorf("after a second start: %q, want what was counted", v)
	}
	s.set(sp, "new", []byte("n"), 0, true)
	if v, _, _ := s.get(sp, "new"); string(v) != "n" {
		t.Errorf("a key that nobody has: %q", v)
	}
	s.join("a")
	s.leave("a")
	if v, _, _ := s.get(s.join("a"), "count"); string(v) != "42" {
		t.Errorf("a plugin of that id is still bound: %q", v)
	}
	for range 2 {
		s.leave("a")
	}
	if _, _, st := s.get(s.join("a"), "count"); st != statusNotFound {
		t.Errorf("after the last plugin of that id: %d, want %d", st, statusNotFound)
	}
}

func TestSharedBounds(t *testing.T) {
	s := newShared()
	sp := s.join("a")
	big := make([]byte, maxSharedBytes/2)
	if st := s.set(sp, "1", big, 0, false); st != statusOK {
		t.Fatal(st)
	}
	if st := s.set(sp, "2", big, 0, false); st != statusInternal {
		t.Errorf("over the limit: %d, want %d", st, statusInternal)
	}
	if st := s.set(sp, "1", nil, 0, false); st != statusOK {
		t.Error(st)
	}
	if st := s.set(sp, "2", big, 0, false); st != statusOK {
		t.Errorf("after room was made: %d", st)
	}
	v := &vm{}
	for i := range maxQueues {
		if _, st := s.register(v, sp, strconv.Itoa(i)); st != statusOK {
			t.Fatal(i, st)
		}
	}
	if _, st := s.register(v, sp, "more"); st != statusInternal {
		t.Errorf("one queue too many: %d, want %d", st, statusInternal)
	}
	id, _ := s.register(v, sp, "0")
	for range maxQueued {
		if st := s.enqueue(id, nil); st != statusOK {
			t.Fatal(st)
		}
	}
	if st := s.enqueue(id, nil); st != statusInternal {
		t.Errorf("one item too many: %d, want %d", st, statusInternal)
	}
}

func TestQueuesFindTheirOwners(t *testing.T) {
	s := newShared()
	sp := s.join("receiver")
	if _, st := s.resolve("receiver", "q"); st != statusNotFound {
		t.Errorf("resolve before anybody registered: %d, want %d", st, statusNotFound)
	}
	first, second := &vm{}, &vm{}
	id, _ := s.register(first, sp, "q")
	again, _ := s.register(second, sp, "q")
	if found, st := s.resolve("receiver", "q"); found != id || again != id || st != statusOK {
		t.Errorf("resolve: %d, %d, registered %d and %d", found, st, id, again)
	}
	s.enqueue(id, []byte("x"))
	s.enqueue(id, []byte("y"))
	if first.ready[id] != 0 || second.ready[id] != 2 {
		t.Errorf("told %d and %d times, want the last that registered, once for each item", first.ready[id], second.ready[id])
	}
	s.orphan(second, map[uint32]int{id: 2})
	s.enqueue(id, []byte("z"))
	third := &vm{}
	s.register(third, sp, "q")
	if third.ready[id] != 3 {
		t.Errorf("the next owner is told %d times, want 3", third.ready[id])
	}
	for _, want := range []string{"x", "y", "z"} {
		if item, st := s.dequeue(id); string(item) != want || st != statusOK {
			t.Errorf("dequeued %q, %d, want %q", item, st, want)
		}
	}
	if _, st := s.dequeue(id); st != statusEmpty {
		t.Errorf("drained: %d, want %d", st, statusEmpty)
	}
	if st := s.enqueue(99, nil); st != statusNotFound {
		t.Errorf("unknown queue: %d, want %d", st, statusNotFound)
	}
	if _, st := s.dequeue(99); st != statusNotFound {
		t.Errorf("unknown queue: %d, want %d", st, statusNotFound)
	}
}

func TestSharedDataCountsFromEverywhere(t *testing.T) {
	s := newShared()
	sp := s.join("a")
	s.set(sp, "n", []byte("0"), 0, false)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { // waited for below
			for done := 0; done < 500; {
				v, cas, _ := s.get(sp, "n")
				n, _ := strconv.Atoi(string(v))
				if s.set(sp, "n", fmt.Append(nil, n+1), cas, false) == statusOK {
					done++
				}
			}
		})
	}
	group.Wait()
	if v, _, _ := s.get(sp, "n"); !bytes.Equal(v, []byte("4000")) {
		t.Errorf("counted %s, want 4000", v)
	}
}
