package abi_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

const fullManifest = `{
  "id": "jwt-2", "version": "1.2.3", "abi": 1, "description": "checks tokens",
  "hooks": {
    "authorize": {"fields": ["method", "headers", "query_params"], "headers": ["authorization"], "body": {"mode": "full", "max": 1000}},
    "map_response": {"fields": ["status", "response_headers"], "response_headers": ["etag"], "response_body": {"mode": "prefix", "max": 10}},
    "observe": {}
  },
  "wants": [{"capability": "wasmgate.jwks.v1", "reason": "to verify signatures"}],
  "config_schema": {"type": "object"}
}`

func TestParseManifest(t *testing.T) {
	m, err := abi.ParseManifest([]byte(fullManifest))
	if err != nil {
		t.Fatal(err)
	}
	if m.ID != "jwt-2" || m.Version != "1.2.3" || m.Description != "checks tokens" || string(m.ConfigSchema) != `{"type": "object"}` {
		t.Errorf("manifest %+v", m)
	}
	if !slices.Equal(m.Wants, []abi.Want{{Capability: "wasmgate.jwks.v1", Reason: "to verify signatures"}}) {
		t.Errorf("wants %v", m.Wants)
	}
	a := m.Hooks[abi.HookAuthorize]
	want := []abi.Field{abi.FieldMethod, abi.FieldHeaders, abi.FieldQueryParams, abi.FieldBody, abi.FieldBodyTruncated}
	if got := slices.Collect(a.Fields.All()); !slices.Equal(got, want) || a.Fields.Len() != len(want) {
		t.Errorf("fields %v, want %v", got, want)
	}
	if a.Body != (abi.BodyNeed{Mode: abi.BodyFull, Max: 1000}) {
		t.Errorf("body %v", a.Body)
	}
	for got, want := range map[bool]bool{
		a.WantsHeader([]byte("authorization")): true, a.WantsHeader([]byte("cookie")): false,
	} {
		if got != want {
			t.Errorf("headers: got %t", got)
		}
	}
	if !a.WantsQueryParam([]byte("any")) || a.WantsResponseHeader([]byte("etag")) {
		t.Error("query_params without a list is all; response_headers is not asked for")
	}
	r := m.Hooks[abi.HookMapResponse]
	if !r.WantsResponseHeader([]byte("etag")) || r.WantsResponseHeader([]byte("age")) || r.ResponseBody.Max != 10 || !r.Has(abi.FieldResponseBody) {
		t.Errorf("map_response %+v", r)
	}
	if o, ok := m.Hooks[abi.HookObserve]; !ok || o.Fields != 0 {
		t.Errorf("observe %+v, %t", o, ok)
	}
}

func TestParseManifestRefuses(t *testing.T) {
	hook := func(name, mask string) string {
		return `{"id": "x", "version": "1", "abi": 1, "hooks": {"` + name + `": ` + mask + `}}`
	}
	for text, want := range map[string]string{
		``:                                      "want a JSON object",
		`[]`:                                    "want a JSON object",
		`{"id": "x", "version": "1"}`:           "abi: got 0, want 1",
		`{"id": "x", "version": "1", "abi": 2}`: "abi: got 2, want 1",
		`{"id": "X", "version": "1", "abi": 1}`: `id: got "X"`,
		`{"id": "x", "version": "1", "abi": 1, "abi_minor": 1000}`:                                           "abi_minor: got 1000, want 0 to ",
		`{"id": "x", "version": "1", "abi": 1, "abi_minor": -1}`:                                             "abi_minor: got -1, want 0 to ",
		`{"id": "../x", "version": "1", "abi": 1}`:                                                           `id: got "../x"`,
		`{"id": "x", "abi": 1}`:                                                                              "version: it is missing",
		`{"id": "x", "id": "y", "version": "1", "abi": 1}`:                                                   "id: key is there twice",
		`{"ID": "x", "version": "1", "abi": 1}`:                                                              "ID: unknown key",
		`{"id": 1, "version": "1", "abi": 1}`:                                                                "id: json:",
		`{"id": null, "version": "1", "abi": 1}`:                                                             "id: got null",
		`{"id": "x", "version": "1", "abi": 1} {}`:                                                           "text after the object",
		`{"id": "x", "version": "1", "abi": 1`:                                                               "EOF",
		`{"id": "x", "version": "1", "abi": 1, "config_schema": true}`:                                       "config_schema: want a JSON object",
		hook("autorize", `{}`):                                                                               "hooks.autorize: unknown hook",
		hook("configure", `{}`):                                                                              "hooks.configure: configure always gets its fields",
		hook("guard", `{"field": []}`):                                                                       "hooks.guard.field: unknown key",
		hook("guard", `{"fields": ["metod"]}`):                                                               `hooks.guard.fields: unknown field "metod"`,
		hook("guard", `{"fields": ["status"]}`):                                                              `hook guard has no field "status"`,
		hook("guard", `{"fields": ["path", "path"]}`):                                                        `"path" is there twice`,
		hook("guard", `{"fields": ["body"]}`):                                                                `"body" comes by its body mode`,
		hook("guard", `{"headers": ["a"]}`):                                                                  "fields does not list headers",
		hook("guard", `{"fields": ["headers"], "headers": []}`):                                              "hooks.guard.headers: empty list",
		hook("guard", `{"fields": ["headers"], "headers": ["Accept"]}`):                                      `got "Accept", want a lower-case name`,
		hook("guard", `{"body": {"mode": "all"}}`):                                                           `hooks.guard.body.mode: got "all", want none, prefix or full`,
		hook("guard", `{"body": {"mode": "full"}}`):                                                          "hooks.guard.body.max: got 0, want 1 to 10485760",
		hook("guard", `{"body": {"mode": "none", "max": 1}}`):                                                "want none for mode none",
		hook("guard", `{"body": {"mode": "full", "max": 10485761}}`):                                         "want 1 to 10485760",
		hook("guard", `{"response_body": {"mode": "full", "max": 1}}`):                                       `hook guard has no field "response_body"`,
		hook("observe", `{"body": {"mode": "full", "max": 1}}`):                                              `hook observe has no field "body"`,
		`{"id": "x", "version": "1", "abi": 1, "wants": [{"capability": "wasmgate.gpu.v1", "reason": "r"}]}`: `wants[0].capability: unknown capability "wasmgate.gpu.v1"`,
		`{"id": "x", "version": "1", "abi": 1, "wants": [{"capability": "wasmgate.kv.v1"}]}`:                 "wants[0].reason: it is missing",
	} {
		if m, err := abi.ParseManifest([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || m != nil {
			t.Errorf("%s\n got %v, want %q", text, err, want)
		}
	}
}

func TestDefaultMask(t *testing.T) {
	for h := range abi.Hooks() {
		m := abi.DefaultMask(h)
		for f := range m.Fields.All() {
			if !f.In(h) {
				t.Errorf("%v: field %v is not the hook's", h, f)
			}
		}
		if m.Has(abi.FieldBody) != (m.Body == abi.BodyNeed{Mode: abi.BodyPrefix, Max: 65536}) {
			t.Errorf("%v: body %v", h, m.Body)
		}
	}
	if m := abi.DefaultMask(abi.HookConfigure); m.Fields != 1<<abi.FieldConfig|1<<abi.FieldPluginID {
		t.Errorf("configure: fields %v", slices.Collect(m.Fields.All()))
	}
	m := abi.DefaultMask(abi.HookGuard)
	if !m.WantsHeader([]byte("any")) || m.Has(abi.FieldStatus) || m.Has(abi.FieldHTTPBody) {
		t.Errorf("guard: %+v", m)
	}
}

func TestNamesAreFoundAgain(t *testing.T) {
	for h := range abi.Hooks() {
		if got, ok := abi.HookByName(h.String()); !ok || got != h {
			t.Errorf("hook %v: found %v, %t", h, got, ok)
		}
		if h.Export() != "wg_"+h.String() {
			t.Errorf("hook %v: export %q", h, h.Export())
		}
	}
	for c := range abi.Capabilities() {
		if got, ok := abi.CapabilityOf(c.Module(), c.Name()); !ok || got != c || c.Power() == "" {
			t.Errorf("capability %v: found %v, %t", c, got, ok)
		}
	}
	if _, ok := abi.HookByName(""); ok {
		t.Error("the empty name is a hook")
	}
	if got := abi.Hook(99).String() + abi.Field(99).String() + abi.Status(-99).String(); got != "9999-99" {
		t.Errorf("unknown ids: %q", got)
	}
}

func TestParseSelector(t *testing.T) {
	for text, want := range map[string]string{
		"source_ip":                         "source_ip|",
		"header.x-y":                        "header|x-y",
		"param.A.b":                         "param|A.b",
		"source_ip.x":                       "takes no argument",
		"header":                            "wants an argument",
		"header.":                           "wants an argument",
		"header.X":                          "lower case",
		"hedaer.x":                          "unknown selector",
		"":                                  "unknown selector",
		"param." + strings.Repeat("x", 251): "at most 256",
	} {
		s, arg, err := abi.ParseSelector([]byte(text))
		got := s.String() + "|" + string(arg)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%.20q: got %q, want %q", text, got, want)
		}
	}
}

// FuzzModule: whatever the bytes, reading sections and manifest ends without panic.
func FuzzModule(f *testing.F) {
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x02\x0b\x01\x01a\x01b\x02\x01\x01\x02\x00\x00\x00"))
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x07\x05\x01\x01a\x00\x00"))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := abi.Inspect(wasm)
		if err == nil {
			_ = m.Check(nil)
		}
		_, _, _ = abi.ReadManifest(wasm)
		packed, err := abi.AppendManifest(wasm, []byte(fullManifest))
		if err != nil {
			return
		}
		if _, found, err := abi.ReadManifest(packed); !found || err != nil {
			t.Fatalf("appended manifest: found %t, error %v", found, err)
		}
	})
}

func TestInspect(t *testing.T) {
	// One import of each kind: function, memory with a maximum, table, global, tag.
	wasm := "\x00asm\x01\x00\x00\x00\x02\x25\x05" +
		"\x01m\x01f\x00\x00" + "\x01m\x01g\x02\x01\x01\x02" + "\x01m\x01t\x01\x70\x00\x01" + "\x01m\x01v\x03\x7f\x00" + "\x01m\x01e\x04\x00\x00"
	m, err := abi.Inspect([]byte(wasm))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []byte
	for _, i := range m.Imports {
		kinds = append(kinds, i.Kind)
	}
	if want := []byte{0, 2, 1, 3, 4}; !slices.Equal(kinds, want) {
		t.Errorf("kinds %v, want %v", kinds, want)
	}
	for cut := range len(wasm) {
		if m, err := abi.Inspect([]byte(wasm[:cut])); err == nil && cut != 8 {
			t.Errorf("cut at %d: accepted %v", cut, m)
		}
	}
	err = m.Check(nil)
	for _, want := range []string{`"wg_abi_v1"`, `"wg_scratch"`, `"memory"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("check: %v, want %s named", err, want)
		}
	}
	m.Imports = append(m.Imports, abi.Import{Module: "wasmgate.kv.v1", Name: "scan"})
	if err := m.Check(nil); err == nil || !strings.Contains(err.Error(), `"wasmgate.kv.v1" "scan"`) {
		t.Errorf("check: %v, want the unknown capability named", err)
	}
}

func TestInspectIsBounded(t *testing.T) {
	const preamble = "\x00asm\x01\x00\x00\x00"
	section := func(id byte, body []byte) []byte {
		return append(binary.AppendUvarint([]byte{id}, uint64(len(body))), body...)
	}
	for name, wasm := range map[string][]byte{
		"more than 1024 sections":                  bytes.Repeat([]byte{0, 0}, 1025),
		"1025 imports, want at most 1024":          section(2, binary.AppendUvarint(nil, 1025)),
		"16385 exports, want at most 16384":        section(7, binary.AppendUvarint(nil, 16385)),
		"1025 bytes of a name, want at most 1024":  section(7, append(binary.AppendUvarint([]byte{1}, 1025), make([]byte, 2000)...)),
		"1048576 bytes of a name, want at most 10": section(2, append(binary.AppendUvarint([]byte{1}, 1<<20), make([]byte, 1<<20)...)),
	} {
		if _, err := abi.Inspect(append([]byte(preamble), wasm...)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want an error with %q", err, name)
		}
	}
	m := &abi.Module{}
	for range 1024 {
		m.Imports = append(m.Imports, abi.Import{Module: "wasmgate.x.v1", Name: "f"})
	}
	if faults := strings.Count(m.Check(nil).Error(), "check module: "); faults != 16 {
		t.Errorf("%d faults, want the first 16", faults)
	}
}

// A guest without a manifest gets what there was when the contract became FINAL, whatever
// was added since: it may have no room for more.
func TestDefaultMaskStays(t *testing.T) {
	var all abi.FieldSet
	for h := range abi.Hooks() {
		m := abi.DefaultMask(h)
		all |= m.Fields
	}
	const final, capabilities = 1<<47 - 2, 1<<abi.FieldHTTPStatus | 1<<abi.FieldHTTPHeaders | 1<<abi.FieldHTTPBody
	if all != final&^capabilities {
		t.Errorf("fields without a manifest: %#x, want %#x", uint64(all), uint64(final&^capabilities))
	}
}
