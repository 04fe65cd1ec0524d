//go:build !wasip1

package wasmgate

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/wasmgate/wasmgate/sdk/go/internal/wire"
)

// source is what the tests need of abi.json.
type source struct {
	Hooks         []entry `json:"hooks"`
	RequestFields []entry `json:"request_fields"`
	ResultFields  []entry `json:"result_fields"`
	Decisions     []entry `json:"decisions"`
	Scopes        []entry `json:"scopes"`
	EditOps       []entry `json:"edit_ops"`
	CallFlags     []entry `json:"call_flags"`
}

type entry struct {
	ID   uint64 `json:"id"`
	Name string `json:"name"`
	Type string `json:"type"`
}

func find(list []entry, name string) entry {
	i := slices.IndexFunc(list, func(e entry) bool { return e.Name == name })
	if i < 0 {
		return entry{}
	}
	return list[i]
}

type vector struct {
	Name    string                     `json:"name"`
	Kind    string                     `json:"kind"`
	Hook    string                     `json:"hook"`
	Fields  map[string]json.RawMessage `json:"fields"`
	Hex     string                     `json:"hex"`
	Refusal string                     `json:"refusal"`
}

func (v *vector) bytes(t *testing.T) []byte {
	t.Helper()
	b, err := hex.DecodeString(v.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func read[T any](t *testing.T, path string) (out T) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	return out
}

const abiDir = "../../abi/v1/"

// TestRequestVectors reads every field of every request vector.
func TestRequestVectors(t *testing.T) {
	abi := read[source](t, abiDir+"abi.json")
	for _, v := range read[[]vector](t, abiDir+"vectors/requests.json") {
		var r Request
		r.parse(v.bytes(t))
		for _, f := range abi.RequestFields {
			want, there := v.Fields[f.Name]
			if got := r.data(uint16(f.ID)) != nil; got != there {
				t.Errorf("%s: %s there: %t, want %t", v.Name, f.Name, got, there)
			}
			if !there {
				continue
			}
			var got any
			switch f.Type {
			case "u64":
				got = r.number(uint16(f.ID))
			case "bytes":
				got = r.text(uint16(f.ID))
			case "pairs":
				list := [][2]string{}
				for name, value := range r.pairs(uint16(f.ID)).All {
					list = append(list, [2]string{name, value})
				}
				got = list
			}
			if text := marshal(t, got); text != marshal(t, plain(t, want)) {
				t.Errorf("%s: %s is %s, want %s", v.Name, f.Name, text, want)
			}
		}
	}
}

// plain takes the vectors' forms of bytes for text.
func plain(t *testing.T, raw json.RawMessage) any {
	var form struct {
		Hex  string
		JSON json.RawMessage
	}
	if json.Unmarshal(raw, &form) != nil {
		return raw
	}
	if form.JSON != nil {
		return string(form.JSON)
	}
	b, err := hex.DecodeString(form.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestResultVectors writes every result vector, byte for byte.
func TestResultVectors(t *testing.T) {
	abi := read[source](t, abiDir+"abi.json")
	for _, v := range read[[]vector](t, abiDir+"vectors/results.json") {
		var w Writer
		w.Start(uint16(find(abi.Hooks, v.Hook).ID))
		for _, f := range abi.ResultFields {
			if raw, there := v.Fields[f.Name]; there {
				write(t, &w, abi, f, raw)
			}
		}
		if got := w.Finish(); !bytes.Equal(got, v.bytes(t)) {
			t.Errorf("%s:\n got %x\nwant %s", v.Name, got, v.Hex)
		}
	}
}

func write(t *testing.T, w *Writer, abi source, f entry, raw json.RawMessage) {
	id := uint16(f.ID)
	switch f.Type {
	case "bytes":
		w.Bytes(id, []byte(fmt.Sprint(text(t, raw))))
	case "u64":
		w.Uint(id, number(t, abi, f.Name, raw))
	case "pairs":
		var pairs []Pair
		for _, p := range decode[[][2]string](t, raw) {
			pairs = append(pairs, Pair{p[0], p[1]})
		}
		w.Pairs(id, pairs)
	case "value":
		w.Value(id, value(t, raw))
	case "edits":
		var edits []Edit
		for _, e := range decode[[]struct {
			Op, Name string
			Value    json.RawMessage
		}](t, raw) {
			edits = append(edits, Edit{uint16(find(abi.EditOps, e.Op).ID), e.Name, value(t, e.Value)})
		}
		w.Edits(id, edits)
	case "buckets":
		var buckets []Bucket
		for _, b := range decode[[]struct {
			Name        string
			Key         json.RawMessage
			Rate        float64
			Burst, Cost uint64
		}](t, raw) {
			buckets = append(buckets, Bucket{b.Name, value(t, b.Key), b.Rate, b.Burst, b.Cost})
		}
		w.Buckets(id, buckets)
	case "names":
		w.Names(id, decode[[]string](t, raw))
	default:
		t.Fatalf("field %s of type %s: this SDK has no writer", f.Name, f.Type)
	}
}

func decode[T any](t *testing.T, raw json.RawMessage) (out T) {
	t.Helper()
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return out
}

func text(t *testing.T, raw json.RawMessage) string {
	if s, ok := plain(t, raw).(string); ok {
		return s
	}
	return decode[string](t, raw)
}

func number(t *testing.T, abi source, field string, raw json.RawMessage) (sum uint64) {
	switch field {
	case "decision":
		return find(abi.Decisions, decode[string](t, raw)).ID
	case "scope":
		return find(abi.Scopes, decode[string](t, raw)).ID
	case "call_flags":
		for _, name := range decode[[]string](t, raw) {
			sum |= find(abi.CallFlags, name).ID
		}
		return sum
	}
	return decode[uint64](t, raw)
}

func value(t *testing.T, raw json.RawMessage) Value {
	if raw == nil {
		return Value{}
	}
	var parts []json.RawMessage
	if json.Unmarshal(raw, &parts) == nil {
		var values []Value
		for _, p := range parts {
			values = append(values, value(t, p))
		}
		return Concat(values...)
	}
	var form struct{ Select string }
	if json.Unmarshal(raw, &form) == nil {
		return Select(form.Select)
	}
	return Text(decode[string](t, raw))
}

// TestMalformedVectors: the SDK panics, which is a trap, on each malformed request.
func TestMalformedVectors(t *testing.T) {
	abi := read[source](t, abiDir+"abi.json")
	for _, v := range read[[]vector](t, abiDir+"vectors/malformed.json") {
		if v.Kind != "request" {
			continue
		}
		if got := readAll(abi, v.bytes(t)); (got == nil) != (v.Refusal == "") {
			t.Errorf("%s: panic %v, want one: %t", v.Name, got, v.Refusal != "")
		}
	}
}

// readAll reads every field and gives what panicked, nil when nothing did.
func readAll(abi source, b []byte) (panicked any) {
	defer func() { panicked = recover() }()
	var r Request
	r.parse(b)
	for _, f := range abi.RequestFields {
		id := uint16(f.ID)
		switch f.Type {
		case "bytes":
			_ = r.text(id)
		case "u64":
			r.number(id)
		case "pairs":
			n := 0
			for range r.pairs(id).All {
				n++
			}
			if n != r.pairs(id).Len() {
				panic("pairs and their count differ")
			}
		}
	}
	return nil
}

func TestHeaderJoinsAllValues(t *testing.T) {
	for _, v := range read[[]vector](t, abiDir+"vectors/requests.json") {
		if v.Name != "duplicate headers keep their order" {
			continue
		}
		var r Request
		r.parse(v.bytes(t))
		if got := r.Header("via"); got != "b, a" {
			t.Errorf("via %q, want %q", got, "b, a")
		}
		if got := slices.Collect(r.Headers().Values("via")); !slices.Equal(got, []string{"b", "a"}) {
			t.Errorf("values of via %q", got)
		}
		if r.Header("vi") != "" || r.Headers().Has("vi") || !r.Headers().Has("cookie") || r.Headers().Get("via") != "b" {
			t.Error("Get or Has is wrong")
		}
		return
	}
	t.Fatal("the vector is gone")
}

func TestEncodingDoesNotAllocate(t *testing.T) {
	var record []byte
	for _, v := range read[[]vector](t, abiDir+"vectors/requests.json") {
		if strings.HasPrefix(v.Name, "the README") {
			record = v.bytes(t)
		}
	}
	handlers[wire.HookAuthorize] = func(r *Request, w *Writer) {
		if r.Header("x-token") == "let-me-in" {
			w.Verdict(Allow, ForIdentity(Minute), &Answer{}, "")
			w.String(wire.ResultPrincipal, "friend")
		}
	}
	t.Cleanup(func() { handlers[wire.HookAuthorize] = nil })
	if n := testing.AllocsPerRun(100, func() {
		if serve(wire.HookAuthorize, record) == nil {
			panic("no result")
		}
	}); n != 0 {
		t.Errorf("a call allocates %v times, want 0", n)
	}
}

func TestServeRefuses(t *testing.T) {
	record := read[[]vector](t, abiDir+"vectors/requests.json")[0].bytes(t)
	for name, f := range map[string]func(){
		"no handler": func() { serve(wire.HookGuard, record) },
		"other hook": func() { handlers[wire.HookObserve] = func(*Request, *Writer) {}; serve(wire.HookObserve, record) },
		"second": func() {
			Register(wire.HookObserve, func(*Request, *Writer) {})
			Register(wire.HookObserve, func(*Request, *Writer) {})
		},
		"late scratch": func() { scratch = []byte{0}; SetScratch(1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { handlers, scratch = [16]func(*Request, *Writer){}, nil })
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

func TestFetchGrowsUntilTheValueFits(t *testing.T) {
	whole := bytes.Repeat([]byte("v"), 10_000)
	got, err := Fetch([]byte("k="), func(out []byte) int64 { return Fill(out, whole, 0) })
	if err != nil || string(got) != "k="+string(whole) {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
	if _, err := Fetch(nil, func([]byte) int64 { return wire.StatusNotGranted }); err != ErrNotGranted {
		t.Errorf("error %v, want %v", err, ErrNotGranted)
	}
	if got := StatusError(-99).Error(); got != "internal failure" {
		t.Errorf("unknown status: %q", got)
	}
}
