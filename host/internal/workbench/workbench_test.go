package workbench_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/internal/workbench"
)

const manifest = `{"id": "guest", "version": "1", "abi": 1, "hooks": {"guard": {"fields": ["headers"]}},
	"wants": [%s], "config_schema": {"type": ["object", "string"], "maxProperties": 0}}`

// open builds the guest of testdata and puts it on a bench.
func open(t *testing.T) *workbench.Plugin {
	t.Helper()
	out := filepath.Join(t.TempDir(), "guest.wasm")
	text, err := exec.CommandContext(t.Context(), "sh", "../../../sdk/c/build.sh", "testdata/guest", out).CombinedOutput()
	require.NoError(t, err, "%s", text)
	wasm, err := os.ReadFile(out)
	require.NoError(t, err)
	var wants []string
	for _, c := range []string{"http", "kv", "secret", "jwks"} {
		wants = append(wants, fmt.Sprintf(`{"capability": "wasmgate.%s.v1", "reason": "to be tested"}`, c))
	}
	wasm, err = abi.Pack(wasm, fmt.Appendf(nil, manifest, strings.Join(wants, ", ")))
	require.NoError(t, err)
	bench, err := workbench.New(t.Context(), workbench.Options{Fuel: 1_000_000})
	require.NoError(t, err)
	plugin, err := bench.Open(t.Context(), "other", wasm)
	require.NoError(t, err)
	t.Cleanup(func() {
		plugin.Close()
		require.NoError(t, bench.Close(context.Background()))
	})
	return plugin
}

// read makes a case of guard of the inner part of its text.
func read(t *testing.T, text string) *casefile.Case {
	t.Helper()
	return readCase(t, "guard", text)
}

func readCase(t *testing.T, hook, text string) *casefile.Case {
	t.Helper()
	file := filepath.Join(t.TempDir(), "case.json")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `{"name": "case", "hook": %q, %s}`, hook, text), 0o600))
	cases, err := casefile.Load(file)
	require.NoError(t, err)
	return cases[0]
}

// request is a case that makes the guest do something, with what its powers answer.
func request(do, host, result string) string {
	return fmt.Sprintf(`"request": {"headers": {"x-do": %q}}, "host": {%s}, "result": {"decision": "allow"%s}`, do, host, result)
}

// What comes of a case, and how it differs from what the case wants.
func TestRun(t *testing.T) {
	plugin := open(t)
	require.Equal(t, "guest", plugin.ID())
	require.Equal(t, []abi.Hook{abi.HookGuard}, plugin.Hooks())
	for name, test := range map[string]struct{ text, want string }{
		"as wanted":     {request("", "", ""), ""},
		"field":         {request("", "", `, "reason": "x"`), `result field reason: got absent, want "x"`},
		"fuel":          {request("", "", "") + `, "fuel": 1`, "fuel: got N, want at most 1"},
		"field, fuel":   {request("", "", `, "status": 204`) + `, "fuel": 1`, "result field status: got absent, want 204\nfuel: got N, want at most 1"},
		"trap":          {request("trap", "", ""), `plugin "guest": hook guard: trap: wasm error: unreachable (in wg_on_guard, called by wg_call, called by wg_guard)`},
		"endless":       {request("spin", "", ""), `plugin "guest": hook guard: fuel: the call used up its fuel (in spin, called by wg_on_guard, called by wg_call, called by wg_guard)`},
		"config":        {`"config": {}, ` + request("", "", ""), ""},
		"config schema": {`"config": {"a": 1}, ` + request("", "", ""), `config: got refused: plugin "guest": config: config: maxProperties: got 1, want 0, want accepted`},
		"config plugin": {`"config": "much longer than short", ` + request("", "", ""),
			`config: got refused: plugin "guest": hook configure: config: want a short config, want accepted`},
		"refused":               {`"config": "much longer than short", "error": "short config"`, ""},
		"refused by the schema": {`"config": {"a": 1}, "error": "any"`, ""},
		"refused otherwise":     {`"config": "much longer than short", "error": "long"`, `config: got refused with "want a short config", want with "long"`},
		"not refused":           {`"config": {}, "error": "long"`, `config: got accepted, want refused with "long"`},

		"kv":             {request("recall", `"kv": {"a": "old"}`, `, "reason": "old"`), ""},
		"kv nothing":     {request("recall", "", `, "reason": "not found"`), ""},
		"kv written":     {request("remember", `"kv": {"a": "old"}`, `, "reason": "new"`), ""},
		"secret":         {request("secret", `"secrets": {"key": "s"}`, `, "reason": "s"`), ""},
		"secret nothing": {request("secret", `"secrets": {"other": "s"}`, `, "reason": "not granted"`), ""},
		"verify":         {request("verify", `"jwks": [{"url": "https://id.example", "status": "ok"}]`, `, "reason": ""`), ""},
		"verify forged":  {request("verify", `"jwks": [{"url": "https://id.example", "status": "invalid"}]`, `, "reason": "invalid"`), ""},
		"verify nothing": {request("verify", "", `, "reason": "not granted"`), ""},
		"call":           {request("call http://a.example:81/x", `"http": [{"url": "http://a.example:81/x", "status": 200, "headers": {"b": "c"}, "body": "hi"}]`, `, "reason": "hi"`), ""},
		"call fails":     {request("call https://a.example/x", `"http": [{"url": "https://a.example/x", "error": "timeout"}]`, `, "reason": "timeout"`), ""},
		"call limited":   {request("call https://a.example/x", `"http": [{"url": "https://a.example/x", "error": "limit"}]`, `, "reason": "limit"`), ""},
		"call elsewhere": {request("call https://a.example/y", `"http": [{"url": "https://a.example/x", "status": 200}]`, `, "reason": "not granted"`), ""},
		"call nowhere":   {request("call https://b.example/", "", `, "reason": "not granted"`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := read(t, test.text)
			o := plugin.Run(t.Context(), c)
			err := o.Check(c)
			if test.want == "" {
				require.NoError(t, err)
				require.Equal(t, o.Fuel, plugin.Run(t.Context(), c).Fuel, "the same case costs the same")
				return
			}
			require.EqualError(t, err, strings.Replace(test.want, "got N", fmt.Sprintf("got %d", o.Fuel), 1))
		})
	}
}

// A case of configure itself compares what that answers, and its fuel.
func TestRunConfigure(t *testing.T) {
	plugin := open(t)
	c := readCase(t, "configure", `"config": "x", "result": {"identity": ["header.x-do"]}, "fuel": 1`)
	o := plugin.Run(t.Context(), c)
	require.EqualError(t, o.Check(c), fmt.Sprintf("fuel: got %d, want at most 1", o.Fuel))
	c.Fuel = o.Fuel
	require.NoError(t, o.Check(c))
	_, err := plugin.Measure(t.Context(), c, time.Millisecond)
	require.ErrorContains(t, err, "it calls no hook but configure")
}

// Lines are those of one case.
func TestRunLines(t *testing.T) {
	plugin := open(t)
	require.Equal(t, []string{"warn: about to decide"}, plugin.Run(t.Context(), read(t, request("log", "", ""))).Lines)
	require.Empty(t, plugin.Run(t.Context(), read(t, request("", "", ""))).Lines)
}

func TestMeasure(t *testing.T) {
	plugin := open(t)
	c := read(t, request("log", "", ""))
	f, err := plugin.Measure(t.Context(), c, time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, plugin.Run(t.Context(), c).Fuel, f.Fuel)
	for _, cost := range []workbench.Cost{f.Pooled, f.Fresh} {
		require.Positive(t, cost.Call)
		require.Positive(t, cost.Bind)
		require.GreaterOrEqual(t, cost.Memory, uint64(320<<10), "the scratch area alone")
		require.Zero(t, cost.Memory%(64<<10))
		require.Equal(t, runtime.GOMAXPROCS(0), cost.Callers)
		require.True(t, cost.Instances >= 1 && cost.Instances <= cost.Callers, "%d instances", cost.Instances)
	}
	_, err = plugin.Measure(t.Context(), read(t, request("trap", "", "")), time.Millisecond)
	require.ErrorContains(t, err, "unreachable", "what does not come out as wanted is not measured")
	_, err = plugin.Measure(t.Context(), read(t, `"request": {"headers": {"x-do": "trap"}}, "trap": {"kind": "trap"}`), time.Millisecond)
	require.EqualError(t, err, `measure case "case": it must trap`)
	// The host calls of a recorded case have an order, and are the same for each call.
	f, err = plugin.Measure(t.Context(), read(t, request("recall", `"calls": [{"call": "kv.get", "key": "a", "value": "1"}]`, `, "reason": "1"`)), time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, 1, f.Pooled.Callers)
	require.Equal(t, 1, f.Fresh.Instances)
}
