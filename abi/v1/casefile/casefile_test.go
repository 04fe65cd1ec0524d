package casefile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// fake answers with what the cases want, or with what a test puts in its place.
type fake struct {
	answers map[abi.Hook]string
	fuel    uint64
	trap    error
}

func (f *fake) Call(hook abi.Hook, record []byte) ([]byte, uint64, error) {
	if _, err := abi.ParseRequest(record); err != nil {
		return nil, 0, err
	}
	fields := Fields{}
	if err := strict([]byte(f.answers[hook]), &fields); err != nil {
		return nil, 0, err
	}
	out, err := EncodeResult(hook, fields)
	return out, f.fuel, errors.Join(err, f.trap)
}

func load(t *testing.T, name string) *Case {
	t.Helper()
	cases, err := Load("testdata/good.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no case %q", name)
	return nil
}

const everyType = `{"decision": "reply", "scope": 1, "status": 204, "headers": {"x": "1", "x": "2"},
	"edits": [{"op": "set_header", "name": "x", "value": ["a", {"select": "header.b"}]}, {"op": "remove_query", "name": "q"}],
	"call_url": {"select": "path"}, "call_flags": 6}`

func TestRun(t *testing.T) {
	for _, test := range []struct {
		name, of, configure, answer string
		fuel                        uint64
		trap                        error
		want                        string
	}{
		{name: "same", of: "every type", configure: `{}`, answer: everyType, fuel: 10},
		{name: "field differs", of: "every type", configure: `{}`, answer: strings.Replace(everyType, "204", "200", 1),
			want: "result field status: got 200, want 204"},
		{name: "order differs", of: "every type", configure: `{}`, answer: strings.Replace(everyType, `"1", "x": "2"`, `"2", "x": "1"`, 1),
			want: `result field headers: got [["x","2"],["x","1"]], want [["x","1"],["x","2"]]`},
		{name: "field too many", of: "every type", configure: `{}`, answer: strings.Replace(everyType, `{"decision"`, `{"reason": "r", "decision"`, 1),
			want: `result field reason: got "r", want absent`},
		{name: "fuel", of: "every type", configure: `{}`, answer: everyType, fuel: 11, want: "fuel: got 11, want at most 10"},
		{name: "trap", of: "every type", configure: `{}`, answer: everyType, trap: errors.New("unreachable"), want: "unreachable"},
		{name: "config refused", of: "every type", configure: `{"error": "bad"}`, want: `config is refused with "bad", want accepted`},
		{name: "refused", of: "refused", configure: `{"error": "this is no good config"}`},
		{name: "refused otherwise", of: "refused", configure: `{"error": "other"}`, want: `a text with "no good"`},
		{name: "accepted", of: "refused", configure: `{}`, want: `config is accepted, want refused`},
		{name: "empty error is a refusal", of: "refused", configure: `{"error": ""}`, want: `refused with "", want a text`},
		{name: "configure", of: "configure", configure: `{"identity": ["source_ip"]}`},
		{name: "configure differs", of: "configure", configure: `{}`, want: `result field identity: got absent, want ["source_ip"]`},
		{name: "buckets", of: "buckets", answer: `{"buckets": [{"name": "n", "key": {"select": "source_ip"}, "rate": 0.5, "burst": 3, "cost": 1}]}`},
		{name: "buckets differ", of: "buckets", answer: `{"buckets": [{"name": "n", "key": "source_ip", "rate": 0.5, "burst": 3, "cost": 1}]}`,
			want: `got [{"name":"n","key":"source_ip","rate":0.5,"burst":3,"cost":1}], want [{"name":"n","key":{"select":"source_ip"},`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := load(t, test.of)
			g := &fake{map[abi.Hook]string{abi.HookConfigure: test.configure, c.Hook: test.answer}, test.fuel, test.trap}
			if c.Hook == abi.HookConfigure {
				g.answers[c.Hook] = test.configure
			}
			err := c.Run(g, nil)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestMaskCutsAsTheHostWould(t *testing.T) {
	c := load(t, "every type")
	m, err := abi.ParseManifest([]byte(`{"id": "x", "version": "1", "abi": 1, "hooks": {"integrate": {
		"fields": ["headers", "body_length"], "headers": ["a"], "body": {"mode": "prefix", "max": 3}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	mask := m.Hooks[abi.HookIntegrate]
	record, err := c.Record(&mask)
	if err != nil {
		t.Fatal(err)
	}
	r, err := abi.ParseRequest(record)
	if err != nil {
		t.Fatal(err)
	}
	got := Decode(r)
	for name, want := range map[string]string{"headers": `[["a",{"hex":"ff"}]]`, "body": `"{\"k"`, "body_truncated": "1"} {
		if string(got[name]) != want {
			t.Errorf("%s is %s, want %s", name, got[name], want)
		}
		delete(got, name)
	}
	if len(got) != 0 {
		t.Errorf("also there: %v", got)
	}
	mask.Body.Mode = abi.BodyFull
	if _, err := c.Record(&mask); err == nil || !strings.Contains(err.Error(), "max is 3") {
		t.Errorf("full body over its max: %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"hook": "guard", "result": {}}`:                                                              "name is missing",
		`{"name": "a", "hook": "gard", "result": {}}`:                                                  `unknown hook "gard"`,
		`{"name": "a", "hook": "guard"}`:                                                               "want one of result, trap and error",
		`{"name": "a", "hook": "guard", "result": {}, "error": "x", "config": 1}`:                      "want one of result, trap and error",
		`{"name": "a", "hook": "guard", "error": "x"}`:                                                 "config is missing",
		`{"name": "a", "hook": "guard", "result": {}, "reqest": {}}`:                                   `unknown field "reqest"`,
		`{"name": "a", "hook": "guard", "result": {}, "request": {"metod": "GET"}}`:                    `request: unknown field "metod"`,
		`{"name": "a", "hook": "guard", "result": {}, "request": {"status": 1}}`:                       `hook guard has no field "status"`,
		`{"name": "a", "hook": "guard", "result": {"buckets": []}}`:                                    `hook guard has no field "buckets"`,
		`{"name": "a", "hook": "guard", "result": {"decision": "alow"}}`:                               `unknown decision "alow"`,
		`{"name": "a", "hook": "guard", "result": {"status": -1}}`:                                     "want a whole number",
		`{"name": "a", "hook": "integrate", "result": {"call_flags": ["x"]}}`:                          `unknown call flag "x"`,
		`{"name": "a", "hook": "map_request", "result": {"edits": [{"op": "x"}]}}`:                     `unknown op "x"`,
		`{"name": "a", "hook": "guard", "result": {}, "host": {"jwks": [{"status": "fine"}]}}`:         `unknown status "fine"`,
		`{"cases": [{"name": "a", "hook": "guard", "result": {}}], "more": 1}`:                         `unknown field "more"`,
		`{"cases": [{"name":"a","hook":"guard","result":{}},{"name":"a","hook":"guard","result":{}}]}`: "there twice",
		`[]`: "case 0",
	} {
		path := filepath.Join(t.TempDir(), "case.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}

func TestHostAnswers(t *testing.T) {
	h := &Host{}
	if err := strict([]byte(`{"secrets": {"k": "s"}, "kv": {"a": "1"},
		"jwks": [{"url": "u", "token": "good", "status": "ok"}, {"url": "u", "status": "invalid"}],
		"http": [{"url": "https://x/", "method": "POST", "status": 201, "headers": {"e": "1"}, "body": "hi"}, {"url": "https://down/", "error": "timeout"}]}`), h); err != nil {
		t.Fatal(err)
	}
	if got := [3]int32{h.JWKSVerify("u", "good"), h.JWKSVerify("u", "bad"), h.JWKSVerify("v", "good")}; got !=
		[3]int32{0, int32(abi.StatusInvalid), int32(abi.StatusNotGranted)} {
		t.Errorf("jwks statuses %v", got)
	}
	h.KVSet("b", []byte("2"), 0)
	h.KVDelete("a")
	if v, _ := h.KVGet("b"); string(v) != "2" {
		t.Errorf("kv b is %q", v)
	}
	if _, status := h.KVGet("a"); status != int32(abi.StatusNotFound) {
		t.Errorf("kv a: status %d", status)
	}
	if _, status := h.HMACSHA256("other", nil); status != int32(abi.StatusNotGranted) {
		t.Errorf("hmac with an unknown secret: %d", status)
	}
	for _, test := range []struct {
		fields Fields
		status abi.Status
	}{
		{Fields{"http_method": []byte(`"POST"`), "http_url": []byte(`"https://x/"`)}, abi.StatusOK},
		{Fields{"http_method": []byte(`"GET"`), "http_url": []byte(`"https://x/"`)}, abi.StatusNotGranted},
		{Fields{"http_method": []byte(`"GET"`), "http_url": []byte(`"https://down/"`)}, abi.StatusTimeout},
	} {
		call, err := EncodeResult(0, test.fields)
		if err != nil {
			t.Fatal(err)
		}
		answer, status := h.HTTPCall(call)
		if abi.Status(status) != test.status {
			t.Errorf("%s: status %v, want %v", test.fields, abi.Status(status), test.status)
		}
		if status != 0 {
			continue
		}
		r, err := abi.ParseRequest(answer)
		if err != nil {
			t.Fatal(err)
		}
		if got := Decode(r); string(got["http_status"]) != "201" || string(got["http_body"]) != `"hi"` {
			t.Errorf("answer %s", got)
		}
	}
}

func TestNativePanicIsATrap(t *testing.T) {
	g := Native(func(uint16, []byte) []byte { panic("out of range") })
	if _, _, err := g.Call(abi.HookGuard, nil); err == nil || !strings.Contains(err.Error(), "trap: out of range") {
		t.Errorf("error %v, want a trap", err)
	}
}
