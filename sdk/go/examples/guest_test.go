package examples

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
)

// guest runs a module as the contract says, without the gateway's fuel and limits.
type guest struct {
	module       api.Module
	hooks        map[abi.Hook]api.Function
	pointer, cap uint32
	host         *casefile.Host
	stack        []uint64
}

// start compiles and instantiates a module; host answers for its capabilities.
func start(t testing.TB, wasm []byte) *guest {
	t.Helper()
	ctx := context.Background()
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithMemoryLimitPages(16<<20>>16))
	t.Cleanup(func() { runtime.Close(ctx) })
	wasi_snapshot_preview1.MustInstantiate(ctx, runtime)
	g := &guest{host: &casefile.Host{}, hooks: map[abi.Hook]api.Function{}, stack: make([]uint64, 1)}
	g.provide(t, runtime)
	module, err := runtime.InstantiateWithConfig(ctx, wasm,
		wazero.NewModuleConfig().WithStartFunctions("_initialize").WithStderr(os.Stderr))
	if err != nil {
		t.Fatal(err)
	}
	area, err := module.ExportedFunction(abi.Scratch).Call(ctx)
	if err != nil {
		t.Fatal(err)
	}
	g.module, g.pointer, g.cap = module, uint32(area[0]>>32), uint32(area[0])
	for h := range abi.Hooks() {
		g.hooks[h] = module.ExportedFunction(h.Export())
	}
	return g
}

// Call is [casefile.Guest].
func (g *guest) Call(hook abi.Hook, record []byte) (result []byte, fuel uint64, err error) {
	f := g.hooks[hook]
	if f == nil {
		return nil, 0, fmt.Errorf("%v is not exported", hook)
	}
	if len(record) > int(g.cap) || !g.module.Memory().Write(g.pointer, record) {
		return nil, 0, fmt.Errorf("record of %d bytes, scratch of %d", len(record), g.cap)
	}
	g.stack[0] = uint64(len(record))
	if err := f.CallWithStack(context.Background(), g.stack); err != nil {
		return nil, 0, err
	}
	result, ok := g.module.Memory().Read(uint32(g.stack[0]>>32), uint32(g.stack[0]))
	if !ok {
		return nil, 0, fmt.Errorf("result %#x is out of memory", g.stack[0])
	}
	return result, 0, nil
}

// provide answers every capability of the contract from g.host.
func (g *guest) provide(t testing.TB, runtime wazero.Runtime) {
	builders := map[string]wazero.HostModuleBuilder{}
	for c := range abi.Capabilities() {
		b := builders[c.Module()]
		if b == nil {
			b = runtime.NewHostModuleBuilder(c.Module())
			builders[c.Module()] = b
		}
		f := g.functions()[c.String()]
		if f == nil {
			t.Fatalf("no test host for %v", c)
		}
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, stack []uint64) {
			call := call{m.Memory(), stack}
			if r := f(call); len(c.Results()) > 0 {
				stack[0] = uint64(r)
			}
		}), types(c.Params()), types(c.Results())).Export(c.Name())
	}
	for _, b := range builders {
		if _, err := b.Instantiate(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

func types(names []string) (out []api.ValueType) {
	for _, n := range names {
		out = append(out, map[string]api.ValueType{"i32": api.ValueTypeI32, "i64": api.ValueTypeI64}[n])
	}
	return out
}

// call is the arguments of a host call.
type call struct {
	memory api.Memory
	stack  []uint64
}

// bytes is the pointer and length at argument i.
func (c call) bytes(i int) []byte {
	b, ok := c.memory.Read(uint32(c.stack[i]), uint32(c.stack[i+1]))
	if !ok {
		panic("argument out of memory")
	}
	return b
}

func (c call) text(i int) string { return string(c.bytes(i)) }

// fill answers with a value whose room is at argument i.
func (c call) fill(i int, value []byte, status int32) int64 {
	if status < 0 {
		return int64(status)
	}
	if room := c.bytes(i); len(value) <= len(room) {
		copy(room, value)
	}
	return int64(len(value))
}

func (g *guest) functions() map[string]func(c call) int64 {
	return map[string]func(c call) int64{
		"wasmgate.log.v1 write": func(c call) int64 { g.host.Log(int32(c.stack[0]), c.text(1)); return 0 },
		"wasmgate.http.v1 call": func(c call) int64 {
			answer, status := g.host.HTTPCall(c.bytes(0))
			return c.fill(2, answer, status)
		},
		"wasmgate.kv.v1 get": func(c call) int64 {
			value, status := g.host.KVGet(c.text(0))
			return c.fill(2, value, status)
		},
		"wasmgate.kv.v1 set": func(c call) int64 {
			return int64(g.host.KVSet(c.text(0), c.bytes(2), int64(c.stack[4])))
		},
		"wasmgate.kv.v1 delete": func(c call) int64 { return int64(g.host.KVDelete(c.text(0))) },
		"wasmgate.secret.v1 get": func(c call) int64 {
			value, status := g.host.Secret(c.text(0))
			return c.fill(2, value, status)
		},
		"wasmgate.crypto.v1 sha256": func(c call) int64 {
			sum := sha256.Sum256(c.bytes(0))
			return c.put(2, sum)
		},
		"wasmgate.crypto.v1 hmac_sha256": func(c call) int64 {
			sum, status := g.host.HMACSHA256(c.text(0), c.bytes(2))
			if status < 0 {
				return int64(status)
			}
			return c.put(4, sum)
		},
		"wasmgate.jwks.v1 verify": func(c call) int64 { return int64(g.host.JWKSVerify(c.text(0), c.text(2))) },
	}
}

// put writes a sum to the pointer at argument i.
func (c call) put(i int, sum [32]byte) int64 {
	if !c.memory.Write(uint32(c.stack[i]), sum[:]) {
		return int64(abi.StatusBadArgument)
	}
	return 0
}
