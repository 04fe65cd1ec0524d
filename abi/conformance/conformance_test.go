package conformance

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// TestGuestsStay wants every guest that was ever committed as it was: a host that serves
// version 1 serves these bytes for ever. New guests are added to the list by
// WASMGATE_UPDATE=1; a changed or missing one is a fault whatever is set.
func TestGuestsStay(t *testing.T) {
	const list = "guests/digests.txt"
	text, err := os.ReadFile(list)
	require.NoError(t, err)
	want := map[string]string{}
	for line := range strings.Lines(string(text)) {
		digest, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		require.True(t, ok, "%s: %q", list, line)
		require.Empty(t, want[name], "%s: %s is there twice", list, name)
		want[name] = digest
	}
	files, err := fs.Glob(embedded, "guests/*.wasm")
	require.NoError(t, err)
	var lines []string
	for _, file := range files {
		wasm, err := embedded.ReadFile(file)
		require.NoError(t, err)
		name, digest := path.Base(file), fmt.Sprintf("%x", sha256.Sum256(wasm))
		lines = append(lines, digest+"  "+name+"\n")
		switch old := want[name]; {
		case old == "" && os.Getenv("WASMGATE_UPDATE") == "":
			t.Errorf("%s: %s is not in it: run this test with WASMGATE_UPDATE=1", list, name)
		case old != "" && old != digest:
			t.Errorf("%s changed: got %s, want %s: give the new guest a name of its own", name, digest, old)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is gone, and hosts must serve it for ever", name)
	}
	if os.Getenv("WASMGATE_UPDATE") != "" && !t.Failed() {
		require.NoError(t, os.WriteFile(list, []byte(strings.Join(lines, "")), 0o644))
	}
}

// TestSuite wants all cases readable, every guest used, and as much as the suite promises.
func TestSuite(t *testing.T) {
	cases, err := Suite()
	require.NoError(t, err)
	assert.GreaterOrEqual(t, len(cases), 150)
	used, refused := map[string]bool{}, 0
	r := &Runner{upstream: &upstream{listener: listener{}}}
	for _, c := range cases {
		for i := range c.Policies {
			used[c.Policies[i].Guest] = true
		}
		if c.Refused {
			refused++
		}
		_, err := r.binding([]*Case{c})
		assert.NoError(t, err)
	}
	assert.GreaterOrEqual(t, refused, 50)
	sources, err := filepath.Glob("guests/*.wasm")
	require.NoError(t, err)
	for _, file := range sources {
		name := strings.TrimSuffix(path.Base(file), ".wasm")
		assert.True(t, used[name] || name == "kv" || variants(sources, name), "no case uses guest %q", name)
	}
}

// variants tells whether a guest is there for its variants' source.
func variants(files []string, name string) bool {
	return slices.ContainsFunc(files, func(f string) bool { return strings.HasPrefix(path.Base(f), name+".") && path.Base(f) != name+".wasm" })
}

// TestVectors wants every malformed result of the ABI's vectors to be a case of a host.
func TestVectors(t *testing.T) {
	text, err := os.ReadFile("../v1/vectors/malformed.json")
	require.NoError(t, err)
	var vectors []struct{ Name, Kind, Hook, Hex string }
	require.NoError(t, json.Unmarshal(text, &vectors))
	cases, err := Suite()
	require.NoError(t, err)
	for _, v := range vectors {
		found := v.Kind != "result" || v.Hook == ""
		for _, c := range cases {
			found = found || c.Group == "malformed" && len(c.Policies) == 1 && c.Policies[0].Raw[v.Hook] == v.Hex
		}
		assert.True(t, found, "vector %q of %s is no case", v.Name, v.Hook)
	}
}

// TestCoverage wants what abi.json knows to be in the cases by its name: every hook,
// field, decision, scope, operation, flag, selector, capability and body mode.
func TestCoverage(t *testing.T) {
	var text strings.Builder
	for _, pattern := range []string{"cases/*.json", "guests/*.json", "guests/*.c", "guests/*.wat"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			text.Write(b)
		}
	}
	b, err := os.ReadFile("../v1/abi.json")
	require.NoError(t, err)
	type named struct {
		Name, Module string
		Arg          bool
	}
	var source map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(b, &source))
	for _, list := range []string{"hooks", "request_fields", "result_fields", "decisions", "scopes", "edit_ops", "call_flags", "selectors", "body_modes", "capabilities"} {
		var names []named
		require.NoError(t, json.Unmarshal(source[list], &names))
		require.NotEmpty(t, names, list)
		for _, n := range names {
			assert.True(t, mentioned(text.String(), list, n.Module, n.Name), "%s: no case knows %q", list, n.Name)
		}
	}
	assert.NotZero(t, abi.Version)
}

// mentioned looks for a name between quotation marks. The fields of an outbound call are
// numbers in the source of its guest.
func mentioned(text, list, module, name string) bool {
	if list == "capabilities" {
		return strings.Contains(text, fmt.Sprintf("%q, %q", module, name)) || strings.Contains(text, fmt.Sprintf("%q %q", module, name))
	}
	if strings.HasPrefix(name, "http_") && list != "selectors" {
		return true // see guests/outbound.c, whose cases fail without any of them
	}
	return strings.Contains(text, `"`+name+`"`) || list == "selectors" && strings.Contains(text, `"`+name+`.`)
}
