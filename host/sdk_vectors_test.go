package host_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest"
)

// vector is a record of abi/v1/vectors; one with a refusal is malformed.
type vector struct {
	Name, Kind, Hook, Hex, Refusal string

	record []byte
}

func vectors(t *testing.T, name string) (list []vector) {
	t.Helper()
	file, err := os.ReadFile("../abi/v1/vectors/" + name + ".json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(file, &list))
	require.NotEmpty(t, list)
	for i := range list {
		list[i].record, err = hex.DecodeString(list[i].Hex)
		require.NoError(t, err)
	}
	return list
}

// good are the records that come back byte for byte, but those without fields: an SDK
// answers with nothing then.
func good(t *testing.T) []vector {
	list := slices.Concat(vectors(t, "requests"), vectors(t, "results"))
	return slices.DeleteFunc(list, func(v vector) bool { return binary.LittleEndian.Uint16(v.record[6:]) == 0 })
}

// malformed are requests, some of which are odd but well-formed. Results are the host's to check.
func malformed(t *testing.T) []vector {
	return slices.DeleteFunc(vectors(t, "malformed"), func(v vector) bool { return v.Kind != "request" })
}

// TestSDKVectors runs the vectors through guests whose hooks answer with their request.
func TestSDKVectors(t *testing.T) {
	t.Parallel() // it waits for programs and compilers more than it works
	engine, err := guest.New(t.Context(), guest.Options{})
	require.NoError(t, err)
	defer engine.Close(context.Background())
	for _, l := range sdks {
		if l.name != "AssemblyScript" && l.name != "Zig" {
			continue // those have tests of their own, see below and sdk/go
		}
		t.Run(l.name, func(t *testing.T) {
			module, err := engine.Compile(t.Context(), "echo", build(t, l.folder, l.build, "../tests/echo"))
			require.NoError(t, err)
			defer module.Release()
			policy, err := engine.Bind(t.Context(), module, guest.Binding{Name: "echo", Memory: 1 << 20})
			require.NoError(t, err)
			defer policy.Close()
			pairs := vectors(t, "requests")[2]
			for range 10_000 { // what a call leaves behind is collected, or the memory would not do
				got, err := echo(t, policy, abi.HookGuard, pairs.record)
				require.NoError(t, err)
				require.Equal(t, pairs.record, got)
			}
			for _, v := range good(t) {
				hook, ok := abi.HookByName(v.Hook)
				if !ok || hook == abi.HookConfigure { // which answers once
					hook = abi.HookObserve
					binary.LittleEndian.PutUint16(v.record[12:], uint16(hook))
				}
				got, err := echo(t, policy, hook, v.record)
				if assert.NoError(t, err, v.Name) {
					assert.Equal(t, v.record, got, v.Name)
				}
				_, err = echo(t, policy, hook, v.record[:len(v.record)-1])
				assert.Error(t, err, "%s, cut off", v.Name)
			}
			for _, v := range malformed(t) {
				_, err := echo(t, policy, abi.HookGuard, v.record)
				assert.Equal(t, v.Refusal != "", err != nil, "%s: %v", v.Name, err)
			}
		})
	}
}

// echo is the result of a hook for any bytes. An error is a trap.
func echo(t *testing.T, policy *guest.Policy, hook abi.Hook, record []byte) ([]byte, error) {
	c := &bytesCall{record: record}
	_, err := policy.Call(t.Context(), hook, c)
	return c.result, err
}

// bytesCall is a call of any bytes, with a result of any bytes.
type bytesCall struct{ record, result []byte }

func (c *bytesCall) Encode(scratch []byte) (int, error) { return copy(scratch, c.record), nil }

func (c *bytesCall) Decode(result []byte) error {
	c.result = slices.Clone(result)
	return nil
}

// TestRustVectors runs the crate's own tests: the vectors, natively.
func TestRustVectors(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "cargo", "test", "-q", "--offline", "--test", "vectors")
	cmd.Dir, cmd.Env = "../sdk/rust", toolchains(t)
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", text)
}

// TestCVectors feeds the vectors to a native build of the C SDK: good records come back
// byte for byte, those that are cut off do not, and malformed ones do not or trap.
func TestCVectors(t *testing.T) {
	program := filepath.Join(t.TempDir(), "vectors")
	text, err := exec.CommandContext(t.Context(), "clang", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsanitize-undefined-trap-on-error",
		"-fsanitize=undefined", "-I../sdk/c", "-o", program, "../sdk/c/tests/vectors.c").CombinedOutput()
	require.NoError(t, err, "%s", text)
	var in, want bytes.Buffer
	add := func(to *bytes.Buffer, b []byte) {
		to.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(b))))
		to.Write(b)
	}
	for _, v := range good(t) {
		add(&in, v.record[:len(v.record)-1])
		add(&want, nil)
		add(&in, v.record)
		add(&want, v.record)
	}
	run := func(in []byte, args ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Stdin = bytes.NewReader(in)
		return cmd.Output()
	}
	got, err := run(in.Bytes())
	require.NoError(t, err)
	require.Equal(t, want.Bytes(), got)
	for _, v := range malformed(t) {
		var in, nothing bytes.Buffer
		add(&in, v.record)
		add(&nothing, nil)
		got, err := run(in.Bytes(), "request")
		refused := err != nil || bytes.Equal(got, nothing.Bytes())
		assert.Equal(t, v.Refusal != "", refused, "%s: %v", v.Name, err)
	}
}
