package guest_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
	"github.com/wasmgate/wasmgate/host/model"
)

var update = flag.Bool("update", false, "write the outcomes of the archives in testdata/hostile anew")

// Bounds of one hostile module, however it fails.
const (
	hostileFuel   = 5_000_000
	hostileMemory = 4 << 20
	hostileRSS    = 256 << 20 // what the process may grow by
	hostileHeap   = 256 << 20 // what may be allocated and given back
	hostileTime   = 30 * time.Second
)

// arena is one engine that all modules of an archive meet, with what they may call.
type arena struct {
	t    *testing.T
	e    *guest.Engine
	good []byte
}

// rich has a power behind every import, and grants for some of what each can reach.
func rich() (guest.Powers, model.Grants) {
	return guest.Powers{
		HTTP: transport(func(context.Context, guest.Outbound) (guest.Answer, error) {
			return guest.Answer{Status: 200, Body: []byte("answer")}, nil
		}),
		Secrets: func(name string) ([]byte, bool) { return []byte("s3cret"), name == "mine" },
		JWKS:    verifier(func(context.Context, string, []byte) abi.Status { return abi.StatusInvalid }),
	}, model.Grants{HTTP: []string{"api.example"}, KV: []string{"user/"}, Secrets: []string{"mine"}, JWKS: []string{"https://i"}}
}

func newArena(t *testing.T) *arena {
	powers, _ := rich()
	good, err := wasmtest.Cases("testdata/hostile/good.txtar")
	require.NoError(t, err)
	return &arena{t, newEngine(t, guest.Options{Powers: powers, MaxModuleBytes: 8 << 20}), good[0].Wasm}
}

// meet loads, starts and calls a module, and gives what came of it: its first error in one
// line, or "served". The bounds hold whatever that is, and afterwards the same engine, and the
// same policy when there is one, serve as if nothing had been.
func (a *arena) meet(t *testing.T, wasm []byte) string {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rss, began := residentBytes(t), time.Now()
	err := a.run(t, wasm)
	require.Less(t, time.Since(began), hostileTime)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(hostileHeap))
	require.Less(t, residentBytes(t)-rss, hostileRSS)
	require.NoError(t, a.run(t, a.good), "the engine serves on")
	if err == nil {
		return "served"
	}
	_, ok := errors.AsType[*guest.Error](err)
	require.True(t, ok, "%v", err)
	first, _, _ := strings.Cut(err.Error(), "\n")
	return first
}

func (a *arena) run(t *testing.T, wasm []byte) error {
	t.Helper()
	m, err := a.e.Compile(t.Context(), "evil", wasm)
	if err != nil {
		return err
	}
	defer m.Release()
	_, grants := rich()
	p, err := a.e.Bind(t.Context(), m, guest.Binding{Name: "evil", Memory: hostileMemory, Fuel: hostileFuel, Grants: grants})
	if err != nil {
		return err
	}
	defer p.Close()
	used, failure := p.Call(t.Context(), hook, &picky{ask{hook: hook}, 1})
	require.LessOrEqual(t, used, uint64(hostileFuel))
	_, err = p.Call(t.Context(), hook, &picky{ask: ask{hook: hook}})
	require.NoError(t, err, "the next request is served")
	return failure
}

// residentBytes is the memory that the process has; only Linux tells it this way, and 0 is
// unknown elsewhere.
func residentBytes(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	text, err := os.ReadFile("/proc/self/statm")
	require.NoError(t, err)
	pages, err := strconv.Atoi(string(bytes.Fields(text)[1]))
	require.NoError(t, err)
	return pages * os.Getpagesize()
}

// TestHostileArchives: hand-written modules, each with what it attacks and the exact outcome.
func TestHostileArchives(t *testing.T) {
	archives, err := filepath.Glob("testdata/hostile/*.txtar")
	require.NoError(t, err)
	a := newArena(t)
	for _, archive := range archives {
		cases, err := wasmtest.Cases(archive)
		require.NoError(t, err)
		for i := range cases {
			c := &cases[i]
			t.Run(strings.TrimSuffix(filepath.Base(archive), ".txtar")+"/"+c.Name, func(t *testing.T) {
				got := a.meet(t, c.Wasm)
				if *update {
					c.Outcome = got
				}
				require.Equal(t, c.Outcome, got, c.Attacks)
			})
		}
		if *update {
			require.NoError(t, wasmtest.Update(archive, cases))
		}
	}
}
