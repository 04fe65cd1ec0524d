package host_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRustVectors runs the crate's own tests: the vectors, natively.
func TestRustVectors(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "cargo", "test", "-q", "--offline", "--test", "vectors")
	cmd.Dir = "../sdk/rust"
	cache, err := filepath.Abs("../.cache/cargo")
	require.NoError(t, err)
	cmd.Env = append(os.Environ(), "CARGO_TARGET_DIR="+cache)
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", text)
}

// TestCVectors feeds the vectors to a native build of the C SDK: good records come back
// byte for byte, and those that are cut off do not.
func TestCVectors(t *testing.T) {
	program := filepath.Join(t.TempDir(), "vectors")
	text, err := exec.CommandContext(t.Context(), "clang", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsanitize-undefined-trap-on-error",
		"-fsanitize=undefined", "-I../sdk/c", "-o", program, "../sdk/c/vectors_test.c").CombinedOutput()
	require.NoError(t, err, "%s", text)
	var in, want bytes.Buffer
	add := func(to *bytes.Buffer, b []byte) {
		to.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(b))))
		to.Write(b)
	}
	for _, name := range []string{"requests", "results"} {
		file, err := os.ReadFile("../abi/v1/vectors/" + name + ".json")
		require.NoError(t, err)
		var list []struct{ Hex string }
		require.NoError(t, json.Unmarshal(file, &list))
		require.NotEmpty(t, list)
		for _, v := range list {
			b, err := hex.DecodeString(v.Hex)
			require.NoError(t, err)
			add(&in, b[:len(b)-1])
			add(&want, nil)
			add(&in, b)
			if binary.LittleEndian.Uint16(b[6:]) == 0 {
				b = nil // a result without fields is no record
			}
			add(&want, b)
		}
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Stdin = &in
	got, err := cmd.Output()
	require.NoError(t, err)
	require.Equal(t, want.Bytes(), got)
}

// TestSDKGuides runs the commands of each guide, with the files that they write elsewhere.
func TestSDKGuides(t *testing.T) {
	for _, folder := range []string{"c", "rust"} {
		t.Run(folder, func(t *testing.T) {
			guide, err := os.ReadFile("../sdk/" + folder + "/README.md")
			require.NoError(t, err)
			_, rest, found := strings.Cut(string(guide), "```sh\n")
			require.True(t, found)
			commands, _, found := strings.Cut(rest, "```")
			require.True(t, found)
			dir := t.TempDir()
			built, packed := filepath.Join(dir, "hello.wasm"), filepath.Join(dir, "packed.wasm")
			commands = strings.NewReplacer(`"$PWD/hello.wasm"`, built, "plugins/hello.wasm", packed, "hello.wasm", built).Replace(commands)
			cmd := exec.CommandContext(t.Context(), "sh", "-ec", commands)
			cmd.Dir = ".."
			text, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", text)
			wasm, err := os.ReadFile(packed)
			require.NoError(t, err)
			runExample(t, "hello", wasm)
			throughGateway(t, wasm)
		})
	}
}
