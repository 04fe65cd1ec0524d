package host_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/model"
)

// TestSDKCosts wants a row for each language in the table of costs. With WASMGATE_UPDATE=1
// it measures and writes them: times are of this machine, so nothing can tell whether those
// of another one still hold.
func TestSDKCosts(t *testing.T) {
	old := guideTable(t, "costs")
	if os.Getenv("WASMGATE_UPDATE") == "" {
		lines := strings.Split(strings.TrimSpace(old.text), "\n")
		require.Len(t, lines, len(sdks)+2, "sdk/README.md: make sdk-costs writes it anew")
		for i, l := range sdks {
			require.Regexp(t, `^\| `+l.name+` (\| [0-9][0-9 ]* ){6}\|$`, lines[i+2])
		}
		return
	}
	var table strings.Builder
	table.WriteString("| | `hello`, bytes | `full`, bytes | compile `full`, ms | fuel of a call | ns, pooled | ns, fresh |\n|---|---|---|---|---|---|---|\n")
	for _, l := range sdks {
		hello, full := withManifest(t, build(t, l.folder, l.build, "hello"), "hello"), withManifest(t, build(t, l.folder, l.build, "full"), "full")
		pooled, fuel := helloCall(t, hello, model.IsolationPooled)
		fresh, _ := helloCall(t, hello, model.IsolationFresh)
		fmt.Fprintf(&table, "| %s | %d | %d | %d | %d | %d | %d |\n", l.name, len(hello), len(full),
			compileTime(t, full).Milliseconds()+1, fuel, pooled.Nanoseconds(), fresh.Nanoseconds())
	}
	t.Logf("\n%s", table.String())
	old.write(t, table.String())
}

// compileTime is how long an engine without any cache takes for a module.
func compileTime(t *testing.T, wasm []byte) time.Duration {
	t.Helper()
	least := time.Duration(math.MaxInt64)
	for range 3 {
		engine, err := guest.New(t.Context(), guest.Options{})
		require.NoError(t, err)
		began := time.Now()
		module, err := engine.Compile(t.Context(), "costs", wasm)
		least = min(least, time.Since(began))
		require.NoError(t, err)
		module.Release()
		require.NoError(t, engine.Close(context.Background()))
	}
	return least
}

// helloCall is the least time and fuel of a call that lets in, record and result included.
func helloCall(t *testing.T, wasm []byte, isolation string) (time.Duration, uint64) {
	t.Helper()
	engine, err := guest.New(t.Context(), guest.Options{})
	require.NoError(t, err)
	defer engine.Close(context.Background())
	module, err := engine.Compile(t.Context(), "costs", wasm)
	require.NoError(t, err)
	defer module.Release()
	policy, err := engine.Bind(t.Context(), module, guest.Binding{Name: "costs", Isolation: isolation})
	require.NoError(t, err)
	defer policy.Close()
	record, err := casefile.EncodeRequest(abi.HookAuthorize, casefile.Fields{"headers": []byte(`{"x-token": "let-me-in"}`)})
	require.NoError(t, err)
	call := &helloDecision{record: record}
	ctx := t.Context()
	const calls = 1000
	leastTime, leastFuel := time.Duration(math.MaxInt64), uint64(math.MaxUint64)
	for range 20 {
		began := time.Now()
		for range calls {
			fuel, err := policy.Call(ctx, abi.HookAuthorize, call)
			if err != nil {
				t.Fatal(err) // require would be measured, too
			}
			leastFuel = min(leastFuel, fuel)
		}
		leastTime = min(leastTime, time.Since(began)/calls)
	}
	require.Equal(t, "friend", string(call.principal))
	return leastTime, leastFuel
}

// helloDecision reads the principal and keeps nothing else.
type helloDecision struct {
	record    []byte
	principal []byte
}

func (c *helloDecision) Encode(scratch []byte) (int, error) { return copy(scratch, c.record), nil }

func (c *helloDecision) Decode(result []byte) error {
	r, err := abi.ParseResult(result, abi.HookAuthorize)
	c.principal = append(c.principal[:0], r.Bytes(abi.ResultPrincipal)...)
	return err
}
