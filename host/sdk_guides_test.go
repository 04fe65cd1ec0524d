package host_test

import (
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// blocks are the fenced blocks of that kind in a guide.
func blocks(t *testing.T, path, kind string) (list []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, rest := range strings.Split(string(text), "\n```"+kind+"\n")[1:] {
		block, _, found := strings.Cut(rest, "```")
		require.True(t, found)
		list = append(list, block)
	}
	require.NotEmpty(t, list, "%s has no block of %s", path, kind)
	return list
}

// follow runs a guide's commands in dir, by lines, after replacements.
func follow(t *testing.T, dir, commands string, replaced ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", strings.NewReplacer(replaced...).Replace(commands))
	cmd.Dir, cmd.Env = dir, toolchains(t)
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", commands, text)
}

// firstSteps is hello, built and packed by the commands of sdk/README.md for a language.
func firstSteps(t *testing.T, language int) []byte {
	t.Helper()
	commands := blocks(t, guidePath, "sh")
	require.Len(t, commands, len(sdks), "a block for each language")
	dir := t.TempDir()
	follow(t, "..", commands[language], `"$PWD/try/`, `"`+dir+`/`, "try/", dir+"/")
	wasm, err := os.ReadFile(filepath.Join(dir, "plugins", "hello.wasm"))
	require.NoError(t, err)
	return wasm
}

// serveFirstSteps binds hello as sdk/README.md says, and asks.
func serveFirstSteps(t *testing.T, wasm []byte) {
	t.Helper()
	apis := blocks(t, guidePath, "yaml")
	require.Len(t, apis, 1)
	g := start(t, files{"plugins/hello.wasm": string(wasm), "apis/hello.yaml": apis[0]})
	g.each(t, func(t *testing.T, c *http.Client) {
		const url = "https://localhost/hello"
		assert.Equal(t, `{"message":"Unauthorized"}`, get(t, c, url).body)
		assert.Equal(t, `{"message":"Unauthorized"}`, get(t, c, url, "X-Token: let-me").body)
		assert.Equal(t, `{"hello": "friend"}`, get(t, c, url, "X-Token: let-me-in").body)
	})
}

// TestSDKGuides: the commands of each guide are those of sdk/README.md, which TestSDKs runs,
// with other files.
func TestSDKGuides(t *testing.T) {
	commands := blocks(t, guidePath, "sh")
	for i, l := range sdks {
		if l.name == "Go" {
			continue // whose guide begins elsewhere
		}
		want := strings.NewReplacer("mkdir -p try/plugins\n", "", `"$PWD/try/plugins/hello.wasm"`, "plugins/hello.wasm",
			`"$PWD/try/hello.wasm"`, "hello.wasm", "try/", "").Replace(commands[i])
		assert.Equal(t, want, blocks(t, filepath.Join(l.folder, "README.md"), "sh")[0], l.name)
	}
	manifest, err := os.ReadFile("../sdk/rust/Cargo.toml")
	require.NoError(t, err)
	assert.Contains(t, string(manifest), strings.Replace(blocks(t, "../sdk/rust/README.md", "toml")[0], "mine", "hello", 1))
}

// alone is a copy of an SDK's folder: what a plugin of one's own begins with.
func alone(t *testing.T, folder string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	from := os.DirFS(folder)
	err := fs.WalkDir(from, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{"node_modules", "target", ".zig-cache"}, d.Name()):
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(dir, path), 0o755)
		}
		text, err := fs.ReadFile(from, path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, path), text, 0o644)
	})
	require.NoError(t, err)
	return dir
}
