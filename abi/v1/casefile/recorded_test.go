package casefile

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

const recorded = `{
  "name": "recorded", "hook": "authorize",
  "module": {"id": "keys", "version": "1.0.0", "sha256": "00ff"},
  "live": {"time": "2026-01-02T03:04:05.006Z", "request_id": "r-1", "decision": "allow", "fuel": 9, "changed": ["principal"], "redacted": ["header.authorization"]},
  "limits": {"fuel": 1000, "memory": 65536},
  "config": {"a": [1, "<&>"]},
  "request": {"time_ms": 18446744073709551615, "headers": [["a", "\u2028<"], ["a", {"hex": "ff00"}]]},
  "host": {"grants": {"kv": ["a/"]}, "calls": [
    {"call": "kv.get", "key": "a/1", "value": "one"},
    {"call": "kv.set", "key": "a/1", "value": {"hex": "ff"}, "ttl_ms": 5},
    {"call": "kv.get", "key": "a/1", "value": {"hex": "ff"}},
    {"call": "kv.delete", "key": "a/1"},
    {"call": "kv.get", "key": "a/1", "status": "not_found"},
    {"call": "secret", "name": "s", "value": "xxxx"},
    {"call": "jwks", "url": "https://id.example", "token": "a.b.c", "status": "invalid"},
    {"call": "http", "method": "GET", "url": "https://x.example/", "headers": [["n", "v"]], "answer": {"status": 201, "headers": [["e", "1"]], "body": "hi"}},
    {"call": "http", "method": "GET", "url": "https://x.example/", "status": "timeout"}]},
  "result": {"decision": "allow", "principal": "p"},
  "log": ["1 let in"],
  "fuel": {"is": 42}
}`

func parseOne(t *testing.T, text string) *Case {
	t.Helper()
	cases, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cases[0]
}

// What was written is read again as it was, also after somebody made it pretty.
func TestEncode(t *testing.T) {
	for name, text := range map[string]string{
		"result": recorded,
		"trap":   `{"name": "t", "hook": "guard", "config": "text", "request": {}, "trap": {"kind": "fuel", "text": "used up", "stack": ["f"]}}`,
		"error":  `{"name": "e", "hook": "guard", "config": "\"quoted\"", "error": "no"}`,
		"empty":  `{"name": "e", "hook": "guard", "host": {"calls": []}, "result": {}, "fuel": 7}`,
	} {
		c := parseOne(t, text)
		encoded, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again := parseOne(t, string(encoded))
		first, _ := c.Record(nil)
		second, err := again.Record(nil)
		if err != nil || string(first) != string(second) || string(c.Config) != string(again.Config) {
			t.Errorf("%s: record or config differ: %v\n%q\n%q", name, err, c.Config, again.Config)
		}
		twice, err := again.Encode()
		if err != nil || string(encoded) != string(twice) {
			t.Errorf("%s: written twice: %v\n%s\n%s", name, err, encoded, twice)
		}
		if !reflect.DeepEqual(c.Host, again.Host) || c.Exact != again.Exact || c.Fuel != again.Fuel || !reflect.DeepEqual(c.Trap, again.Trap) {
			t.Errorf("%s: got %+v, want %+v", name, again, c)
		}
	}
	if c := parseOne(t, recorded); string(c.Config) != `{"a":[1,"<&>"]}` {
		t.Errorf("config %s", c.Config)
	}
}

// asking calls the capabilities as the recording has it, but for what a test leaves out or
// does otherwise.
type asking struct {
	h     *Host
	calls []func(h *Host)
	fake
}

func (a *asking) Call(hook abi.Hook, record []byte) ([]byte, uint64, error) {
	if hook == abi.HookAuthorize {
		for _, call := range a.calls {
			call(a.h)
		}
		a.h.Log(1, "let in")
	}
	return a.fake.Call(hook, record)
}

func TestCallsInOrder(t *testing.T) {
	c := parseOne(t, recorded)
	var got []any
	answer := func(values ...any) { got = append(got, values...) }
	post, err := EncodeResult(0, Fields{"http_url": []byte(`"https://x.example/"`), "http_headers": []byte(`{"n": "v"}`)})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := EncodeResult(0, Fields{"http_method": []byte(`"GET"`), "http_url": []byte(`"https://x.example/"`)})
	if err != nil {
		t.Fatal(err)
	}
	get := func(h *Host) { v, s := h.KVGet("a/1"); answer(string(v), s) }
	all := []func(h *Host){get,
		func(h *Host) { answer(h.KVSet("a/1", []byte{0xff}, 5)) }, get,
		func(h *Host) { answer(h.KVDelete("a/1")) }, get,
		func(h *Host) { v, s := h.Secret("s"); answer(string(v), s) },
		func(h *Host) { answer(h.JWKSVerify("https://id.example", "a.b.c")) },
		func(h *Host) {
			v, s := h.HTTPCall(post)
			r, err := abi.ParseRequest(v)
			answer(string(r.Bytes(abi.FieldHTTPBody)), s, err)
		},
		func(h *Host) { _, s := h.HTTPCall(plain); answer(s) },
	}
	want := []any{"one", int32(0), int32(0), "\xff", int32(0), int32(0), "", int32(abi.StatusNotFound), "xxxx", int32(0),
		int32(abi.StatusInvalid), "hi", int32(0), error(nil), int32(abi.StatusTimeout)}
	g := &asking{c.Host, all, fake{map[abi.Hook]string{abi.HookConfigure: "{}", abi.HookAuthorize: `{"decision": "allow", "principal": "p"}`}, 42, nil}}
	for range 2 {
		got = nil
		if err := c.Run(g, nil); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("error %v, answers\n%v, want\n%v", err, got, want)
		}
	}
	for name, test := range map[string]struct {
		change func()
		want   string
	}{
		"one too few": {func() { g.calls = all[:8] }, `host call 8: got none, want {"call":"http","method":"GET"`},
		"one more": {func() { g.calls = append(all[:9:9], get) },
			`host call 9: got {"call":"kv.get","key":"a/1"}, want no more calls`},
		"another": {func() { g.calls = append(all[:1:1], all[3]) },
			`host call 1: got {"call":"kv.delete","key":"a/1"}, want {"call":"kv.set","key":"a/1","ttl_ms":5,"value":{"hex":"ff"}}`},
		"fuel less":   {func() { g.fuel = 41 }, "fuel: got 41, want 42"},
		"fuel more":   {func() { g.fuel = 43 }, "fuel: got 43, want 42"},
		"other lines": {func() { c.Log = []string{"2 let in"} }, `log: got ["1 let in"], want ["2 let in"]`},
		"trap":        {func() { g.trap = errors.New("unreachable") }, "unreachable"},
	} {
		old, log := *g, c.Log
		test.change()
		if err := c.Run(g, nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
		*g, c.Log = old, log
	}
}

// kind is a trap that says which.
type kind struct{ error }

func (kind) TrapKind() string { return "fuel" }

func TestTrap(t *testing.T) {
	const text = `{"name": "t", "hook": "guard", "request": {}, "trap": {"kind": "fuel", "text": "used up"}}`
	for name, test := range map[string]struct {
		trap error
		want string
	}{
		"as wanted":      {kind{errors.New("guard: used up its fuel")}, ""},
		"without a kind": {errors.New("used up"), ""},
		"another text":   {kind{errors.New("gone")}, `trap: got "gone", want a text with "used up"`},
		"an answer":      {nil, `got an answer, want a trap "fuel" with "used up"`},
	} {
		c := parseOne(t, text)
		err := c.Run(&fake{map[abi.Hook]string{abi.HookGuard: "{}"}, 1, test.trap}, nil)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
	c := parseOne(t, strings.Replace(text, `"fuel"`, `"stack"`, 1))
	if err := c.Run(&fake{map[abi.Hook]string{abi.HookGuard: "{}"}, 1, kind{errors.New("used up")}}, nil); err == nil || !strings.Contains(err.Error(), `got kind "fuel", want "stack"`) {
		t.Errorf("another kind: %v", err)
	}
}

func TestParseRefusesRecorded(t *testing.T) {
	for text, want := range map[string]string{
		`"trap": {}, "result": {}`:                                            "want one of result, trap and error",
		`"trap": {"knd": "x"}`:                                                `unknown field "knd"`,
		`"result": {}, "fuel": {"at": 1}`:                                     `want a whole number or {"is": NUMBER}`,
		`"result": {}, "fuel": -1`:                                            `want a whole number`,
		`"result": {}, "host": {"calls": [{"call": "kv.put"}]}`:               `host: calls 0: call "kv.put", want one of`,
		`"result": {}, "host": {"calls": [{"call": "http"}]}`:                 "want one of answer and status",
		`"result": {}, "host": {"calls": [{"call": "kv.get", "answer": {}}]}`: "got an answer, want value or status",
		`"result": {}, "host": {"calls": [], "kv": {}}`:                       "calls beside secrets, kv, jwks or http",
	} {
		if _, err := Parse([]byte(`{"name": "a", "hook": "guard", ` + text + `}`)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}
