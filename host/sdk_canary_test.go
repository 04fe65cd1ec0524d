package host_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/model"
)

// TestSDKCanaries: with isolation fresh a guest of any language tells and shows no byte of
// the request before; with pooled the same guest does both.
func TestSDKCanaries(t *testing.T) {
	t.Parallel() // it waits for programs and compilers more than it works
	engine, err := guest.New(t.Context(), guest.Options{CacheDir: compiled})
	require.NoError(t, err)
	defer engine.Close(context.Background())
	for _, l := range sdks {
		t.Run(l.name, func(t *testing.T) {
			module, err := engine.Compile(t.Context(), "canary", build(t, l.folder, l.build, l.canary))
			require.NoError(t, err)
			defer module.Release()
			for _, isolation := range []string{model.IsolationPooled, model.IsolationFresh} {
				t.Run(isolation, func(t *testing.T) {
					policy, err := engine.Bind(t.Context(), module, guest.Binding{Name: "canary", Isolation: isolation})
					require.NoError(t, err)
					defer policy.Close()
					releaseCanaries(t, policy, isolation == model.IsolationPooled)
				})
			}
		})
	}
}

// releaseCanaries lets requests come one after the other; kept says whether the guest may
// tell each of the one before.
func releaseCanaries(t *testing.T, policy *guest.Policy, kept bool) {
	before := ""
	clean := pages(t, policy)
	for n := range 4 {
		canary := fmt.Sprintf("%c-canary-%d", 'a'+n, n)
		record, err := casefile.EncodeRequest(abi.HookGuard, casefile.Fields{"headers": fmt.Appendf(nil, `{"x-canary": %q}`, canary)})
		require.NoError(t, err)
		said, err := echo(t, policy, abi.HookGuard, record)
		require.NoError(t, err)
		result, err := abi.ParseResult(said, abi.HookGuard)
		require.NoError(t, err)
		headers := 0
		for _, first := range result.Pairs(abi.ResultHeaders).All {
			assert.Equal(t, before[:1], string(first))
			headers++
		}
		memory := pages(t, policy)
		if kept {
			assert.Equal(t, before, string(result.Bytes(abi.ResultReason)))
			assert.Equal(t, before != "", headers == 1)
			assert.True(t, bytes.Contains(memory, []byte("-canary-")), "the memory has the canary")
		} else {
			assert.Empty(t, string(result.Bytes(abi.ResultReason)))
			assert.Zero(t, headers)
			assert.True(t, bytes.Equal(clean, memory), "the memory is as it was")
		}
		before = canary
	}
}

// pages are a guest's memory, page by page, each in a call of its own.
func pages(t *testing.T, policy *guest.Policy) (all []byte) {
	for number := 0; ; number++ {
		page, err := echo(t, policy, abi.HookThrottle, make([]byte, number))
		if err != nil {
			require.ErrorContains(t, err, "is outside the memory")
			return all
		}
		all = append(all, page...)
	}
}
