package abi_test

import (
	"errors"
	"testing"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

var (
	path    = []byte("/pets/17")
	agent   = []byte("curl/8")
	encoded = func() []byte {
		b := make([]byte, 512)
		n, err := writeRequest(b)
		if err != nil {
			panic(err)
		}
		return b[:n]
	}()
)

func writeRequest(b []byte) (int, error) {
	var w abi.Writer[abi.Field]
	w.Start(b, abi.HookAuthorize, 8)
	w.Uint(abi.FieldTimeMS, 1764000000000)
	w.String(abi.FieldMethod, "GET")
	w.Bytes(abi.FieldPath, path)
	w.BeginPairs(abi.FieldHeaders)
	w.PairStrings("accept", "*/*")
	w.Pair([]byte("user-agent"), agent)
	w.EndPairs()
	return w.Finish()
}

func TestWriterIsReadBack(t *testing.T) {
	r, err := abi.ParseRequest(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(r.Bytes(abi.FieldPath)); got != "/pets/17" {
		t.Errorf("path %q, want /pets/17", got)
	}
	if v, ok := r.Uint(abi.FieldTimeMS); v != 1764000000000 || !ok {
		t.Errorf("time_ms %d, %t", v, ok)
	}
	if r.Has(abi.FieldQuery) || r.Bytes(abi.FieldQuery) != nil {
		t.Error("query is there, want absent")
	}
	var got string
	for name, value := range r.Pairs(abi.FieldHeaders).All {
		got += string(name) + "=" + string(value) + ";"
	}
	if want := "accept=*/*;user-agent=curl/8;"; got != want {
		t.Errorf("headers %q, want %q", got, want)
	}
	if r.Hook() != abi.HookAuthorize {
		t.Errorf("hook %v", r.Hook())
	}
}

func TestNoRoomSaysNeedAndHave(t *testing.T) {
	for have := range len(encoded) {
		n, err := writeRequest(make([]byte, have))
		var room *abi.NoRoomError
		if !errors.As(err, &room) || room.Need != len(encoded) || room.Have != have || n != 0 {
			t.Fatalf("with %d bytes: n %d, error %v, want need %d", have, n, err, len(encoded))
		}
	}
}

func TestWriterReportsMistakes(t *testing.T) {
	for name, write := range map[string]func(w *abi.Writer[abi.Field]){
		"order":     func(w *abi.Writer[abi.Field]) { w.String(abi.FieldPath, ""); w.String(abi.FieldMethod, "") },
		"twice":     func(w *abi.Writer[abi.Field]) { w.String(abi.FieldPath, ""); w.String(abi.FieldPath, "") },
		"type":      func(w *abi.Writer[abi.Field]) { w.Uint(abi.FieldPath, 1) },
		"unknown":   func(w *abi.Writer[abi.Field]) { w.String(63, "") },
		"room":      func(w *abi.Writer[abi.Field]) { w.Uint(2, 1); w.Uint(3, 1); w.String(4, ""); w.String(5, "") },
		"not open":  func(w *abi.Writer[abi.Field]) { w.Pair(nil, nil) },
		"not ended": func(w *abi.Writer[abi.Field]) { w.BeginPairs(abi.FieldHeaders) },
		"nested":    func(w *abi.Writer[abi.Field]) { w.BeginPairs(abi.FieldHeaders); w.BeginPairs(abi.FieldQueryParams) },
	} {
		var w abi.Writer[abi.Field]
		w.Start(make([]byte, 256), abi.HookGuard, 3)
		write(&w)
		if n, err := w.Finish(); err == nil || n != 0 {
			t.Errorf("%s: n %d, error %v, want a mistake reported", name, n, err)
		}
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	buf := make([]byte, 512)
	result := sampleResult(t)
	sink := 0
	for name, f := range map[string]func(){
		"write": func() {
			if _, err := writeRequest(buf); err != nil {
				panic(err)
			}
		},
		"parse": func() {
			r, err := abi.ParseResult(result, abi.HookThrottle)
			if err != nil {
				panic(err)
			}
			for _, value := range r.Pairs(abi.ResultHeaders).All {
				sink += len(value)
			}
			for e := range r.Edits(abi.ResultEdits).All {
				for p := range e.Value.Parts {
					sink += len(p.Text)
				}
			}
			for b := range r.Buckets(abi.ResultBuckets).All {
				for p := range b.Key.Parts {
					sink += len(p.Text) + int(b.Cost)
				}
			}
			for n := range r.Names(abi.ResultIdentity).All {
				sink += len(n)
			}
			if _, ok := r.Uint(abi.ResultTTLMS); !ok {
				panic("no ttl")
			}
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times, want 0", name, n)
		}
	}
	if sink == 0 {
		t.Error("nothing was read")
	}
}

func sampleResult(t testing.TB) []byte {
	t.Helper()
	var w abi.Writer[abi.ResultField]
	b := make([]byte, 2048)
	w.Start(b, abi.HookThrottle, 16)
	w.Uint(abi.ResultDecision, uint64(abi.DecisionAllow))
	w.Uint(abi.ResultScope, uint64(abi.ScopeIdentity))
	w.Uint(abi.ResultTTLMS, 300_000)
	w.BeginPairs(abi.ResultHeaders)
	w.PairStrings("x-a", "1")
	w.EndPairs()
	key := abi.Value(nil).Literal("ip:").Select("source_ip").Select("header.x-api-key")
	w.Buckets(abi.ResultBuckets, []abi.Bucket{{Rate: 1.5, Burst: 10, Cost: 1, Name: []byte("per-ip"), Key: key}})
	w.Edits(abi.ResultEdits, []abi.Edit{
		{Op: abi.OpSetHeader, Name: []byte("x-b"), Value: key},
		{Op: abi.OpRemoveHeader, Name: []byte("x-c")},
	})
	w.Names(abi.ResultIdentity, []string{"source_ip", "header.authorization"})
	n, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

func BenchmarkWrite(b *testing.B) {
	buf := make([]byte, 512)
	for b.Loop() {
		writeRequest(buf)
	}
}

func BenchmarkParse(b *testing.B) {
	result := sampleResult(b)
	for b.Loop() {
		abi.ParseResult(result, abi.HookThrottle)
	}
}

// FuzzParse: whatever the bytes, nothing panics and what is read lies inside of them.
func FuzzParse(f *testing.F) {
	f.Add(encoded)
	f.Add(sampleResult(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := abi.ParseRequest(b); err == nil {
			walk(r)
		}
		if r, err := abi.Parse[abi.ResultField](b); err == nil {
			walk(r)
		}
		for h := range abi.Hooks() {
			_, _ = abi.ParseResult(b, h)
		}
	})
}

// walk reads every field of a record by every getter.
func walk[F abi.ID](r abi.Record[F]) (sum int) {
	for id := F(0); id < 70; id++ {
		sum += len(r.Bytes(id))
		if v, ok := r.Uint(id); ok {
			sum += int(v)
		}
		n := 0
		for name, value := range r.Pairs(id).All {
			sum += len(name) + len(value)
			n++
		}
		if n != r.Pairs(id).Len() {
			panic("pairs: length and items differ")
		}
		if v, ok := r.Value(id); ok {
			sum += walkValue(v)
		}
		for v := range r.Values(id).All {
			sum += walkValue(v)
		}
		for e := range r.Edits(id).All {
			sum += len(e.Name) + walkValue(e.Value)
		}
		for b := range r.Buckets(id).All {
			sum += len(b.Name) + walkValue(b.Key)
		}
		for name := range r.Names(id).All {
			sum += len(name)
		}
	}
	return sum
}

func walkValue(v abi.Value) (sum int) {
	for p := range v.Parts {
		sum += len(p.Text)
	}
	return sum
}

func BenchmarkParseVerdict(b *testing.B) {
	var w abi.Writer[abi.ResultField]
	buf := make([]byte, 256)
	w.Start(buf, abi.HookAuthorize, 2)
	w.Uint(abi.ResultDecision, uint64(abi.DecisionAllow))
	w.String(abi.ResultPrincipal, "friend")
	n, err := w.Finish()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		abi.ParseResult(buf[:n], abi.HookAuthorize)
	}
}

func TestWriterKeepsToMaxPairs(t *testing.T) {
	for n, want := range map[int]bool{abi.MaxPairs: true, abi.MaxPairs + 1: false} {
		var w abi.Writer[abi.Field]
		w.Start(make([]byte, 1<<16), abi.HookGuard, 1)
		w.BeginPairs(abi.FieldQueryParams)
		for range n {
			w.PairStrings("a", "")
		}
		w.EndPairs()
		_, err := w.Finish()
		if _, limit := errors.AsType[*abi.LimitError](err); limit == want || (err == nil) != want {
			t.Errorf("%d pairs: error %v, want none: %t", n, err, want)
		}
	}
}
