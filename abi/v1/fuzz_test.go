package abi_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
)

// seeds adds the bytes of every vector.
func seeds(f *testing.F, add func(b []byte, hook abi.Hook)) {
	for _, name := range []string{"requests.json", "results.json", "malformed.json"} {
		text, err := os.ReadFile("vectors/" + name)
		if err != nil {
			f.Fatal(err)
		}
		var list []vector
		if err := json.Unmarshal(text, &list); err != nil {
			f.Fatal(err)
		}
		for _, v := range list {
			b, err := hex.DecodeString(v.Hex)
			if err != nil {
				f.Fatal(err)
			}
			add(b, v.hook())
		}
	}
}

// readAll reads all that a record shows, and tells how many bytes that was.
func readAll[F abi.ID](r abi.Record[F]) (n int) {
	value := func(v abi.Value) {
		for p := range v.Parts {
			n += len(p.Text)
		}
	}
	for id := range r.Fields {
		n += len(r.Bytes(id))
		r.Uint(id)
		for name, v := range r.Pairs(id).All {
			n += len(name) + len(v)
		}
		for _, v := range [...]abi.Value{first(r.Value(id))} {
			value(v)
		}
		for v := range r.Values(id).All {
			value(v)
		}
		for e := range r.Edits(id).All {
			n += len(e.Name)
			value(e.Value)
		}
		for b := range r.Buckets(id).All {
			n += len(b.Name)
			value(b.Key)
		}
		for b := range r.Names(id).All {
			n += len(b)
		}
	}
	return n
}

// own is the fields of a record that its hook has: others mean nothing, and are not written.
func own[F abi.ID](r abi.Record[F]) casefile.Fields {
	fields := casefile.Decode(r)
	for id := range r.Fields {
		if !id.In(r.Hook()) {
			delete(fields, id.String())
		}
	}
	return fields
}

func first[T any](v T, _ bool) T { return v }

// FuzzRequest: whatever the bytes, a record that is accepted can be read, as much as it is
// long for each field, and written again without a loss.
func FuzzRequest(f *testing.F) {
	seeds(f, func(b []byte, _ abi.Hook) { f.Add(b) })
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := abi.ParseRequest(b)
		if err != nil {
			return
		}
		if n := readAll(r); n > 2*abi.MaxFields*len(b) {
			t.Fatalf("%d bytes read of a record of %d", n, len(b))
		}
		fields := own(r)
		again, err := casefile.EncodeRequest(r.Hook(), fields)
		same(t, fields, again, err, func(b []byte) (casefile.Fields, error) {
			r, err := abi.ParseRequest(b)
			return casefile.Decode(r), err
		})
	})
}

// FuzzResult is FuzzRequest for what a guest answers to a hook.
func FuzzResult(f *testing.F) {
	seeds(f, func(b []byte, h abi.Hook) { f.Add(b, uint16(h)) })
	f.Fuzz(func(t *testing.T, b []byte, hook uint16) {
		r, err := abi.ParseResult(b, abi.Hook(hook))
		if err != nil {
			return
		}
		if n := readAll(r); n > 2*abi.MaxFields*len(b) {
			t.Fatalf("%d bytes read of a record of %d", n, len(b))
		}
		fields := own(r)
		again, err := casefile.EncodeResult(r.Hook(), fields)
		same(t, fields, again, err, func(b []byte) (casefile.Fields, error) {
			r, err := abi.ParseResult(b, r.Hook())
			return casefile.Decode(r), err
		})
	})
}

// same wants a record of fields to be read as these fields.
func same(t *testing.T, fields casefile.Fields, record []byte, err error, read func([]byte) (casefile.Fields, error)) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: write again: %v", fields, err)
	}
	got, err := read(record)
	if err != nil {
		t.Fatalf("%s: read again: %v", fields, err)
	}
	a, errA := json.Marshal(fields)
	b, errB := json.Marshal(got)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Fatalf("%s became %s (%v, %v)", a, b, errA, errB)
	}
}

// FuzzManifest: a manifest that is accepted asks only for what there is, and stands unchanged
// in a module that it is appended to.
func FuzzManifest(f *testing.F) {
	for _, text := range []string{
		`{"id": "x", "version": "1", "abi": 1, "description": "d", "hooks": {"guard": {"fields": ["method", "headers"], "headers": ["a"], "body": {"mode": "prefix", "max": 10}}}}`,
		`{"id": "x", "version": "1", "abi": 1, "wants": [{"capability": "wasmgate.http.v1", "reason": "r"}], "config_schema": {"type": "object"}}`,
		`{"id": "x", "ID": "y"}`, `{"hooks": {"configure": {}}}`, `[]`, `{`, `{"abi": 1e999}`, `{"hooks": {"guard": {"body": {"max": -1}}}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := abi.ParseManifest(text)
		wasm, appendErr := abi.AppendManifest([]byte("\x00asm\x01\x00\x00\x00"), text)
		if (err == nil) != (appendErr == nil) {
			t.Fatalf("parse: %v, append: %v", err, appendErr)
		}
		if err != nil {
			return
		}
		for h, mask := range m.Hooks {
			if h.Export() == "" || mask.Body.Max > abi.MaxBodyBytes || mask.ResponseBody.Max > abi.MaxBodyBytes {
				t.Fatalf("hook %v with %+v", h, mask)
			}
		}
		again, found, err := abi.ReadManifest(wasm)
		if err != nil || !found || again.ID != m.ID || len(again.Wants) != len(m.Wants) || !bytes.Equal(again.ConfigSchema, m.ConfigSchema) {
			t.Fatalf("%+v became %+v, %t, %v", m, again, found, err)
		}
	})
}

// FuzzInspect: whatever a module's bytes, it is looked at within bounds.
func FuzzInspect(f *testing.F) {
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x02\x07\x01\x01a\x01b\x00\x00\x07\x05\x01\x01c\x00\x00"))
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x00\x05\x04name"))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := abi.Inspect(wasm)
		if err != nil {
			return
		}
		man, _, err := abi.ReadManifest(wasm)
		if err != nil {
			man = nil
		}
		if err := m.Check(man); err != nil && len(err.Error()) > 64<<10 {
			t.Fatalf("an error of %d bytes", len(err.Error()))
		}
	})
}
