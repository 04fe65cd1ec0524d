package host_test

import (
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
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

// TestSDKGuides runs the commands of each guide, with the files that they write elsewhere.
func TestSDKGuides(t *testing.T) {
	for _, folder := range []string{"assemblyscript", "c", "rust", "zig"} {
		t.Run(folder, func(t *testing.T) {
			dir := t.TempDir()
			built, packed := filepath.Join(dir, "hello.wasm"), filepath.Join(dir, "packed.wasm")
			follow(t, "..", blocks(t, "../sdk/"+folder+"/README.md", "sh")[0], "plugins/hello.wasm", packed, " hello.wasm", " "+built)
			wasm, err := os.ReadFile(packed)
			require.NoError(t, err)
			runExample(t, "hello", wasm)
		})
	}
}

// TestFirstSteps follows sdk/README.md in every language: build, pack, serve, ask.
func TestFirstSteps(t *testing.T) {
	commands, apis := blocks(t, guidePath, "sh"), blocks(t, guidePath, "yaml")
	require.Len(t, commands, len(sdks))
	require.Len(t, apis, 1)
	for i, l := range sdks {
		t.Run(l.name, func(t *testing.T) {
			dir := t.TempDir()
			follow(t, "..", commands[i], `"$PWD/try/`, `"`+dir+`/`, "try/", dir+"/")
			wasm, err := os.ReadFile(filepath.Join(dir, "plugins", "hello.wasm"))
			require.NoError(t, err)
			g := start(t, files{"plugins/hello.wasm": string(wasm), "apis/hello.yaml": apis[0]})
			g.each(t, func(t *testing.T, c *http.Client) {
				assert.Equal(t, `{"message":"Unauthorized"}`, get(t, c, "https://localhost/hello").body)
				assert.Equal(t, `{"hello": "friend"}`, get(t, c, "https://localhost/hello", "X-Token: let-me-in").body)
			})
		})
	}
}

// TestSDKFoldersStandAlone builds a plugin in a copy of each SDK's folder, as its guide says.
func TestSDKFoldersStandAlone(t *testing.T) {
	for folder, example := range map[string]string{"assemblyscript": "examples/hello.ts", "c": "hello/main.c",
		"rust": "examples/hello.rs", "zig": "examples/hello.zig"} {
		t.Run(folder, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "copy")
			from := os.DirFS("../sdk/" + folder)
			err := fs.WalkDir(from, ".", func(path string, d fs.DirEntry, err error) error {
				switch {
				case err != nil:
					return err
				case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "target" || d.Name() == ".zig-cache"):
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
			mine := filepath.Join(dir, strings.Replace(example, "hello", "mine", 1))
			require.NoError(t, os.MkdirAll(filepath.Dir(mine), 0o755))
			require.NoError(t, os.Rename(filepath.Join(dir, example), mine))
			if folder == "rust" {
				manifest, err := os.ReadFile(filepath.Join(dir, "Cargo.toml"))
				require.NoError(t, err)
				text := strings.Replace(string(manifest), "[[example]]\nname = \"hello\"\ncrate-type = [\"cdylib\"]\n",
					blocks(t, "../sdk/rust/README.md", "toml")[0], 1)
				require.NoError(t, os.WriteFile(filepath.Join(dir, "Cargo.toml"), []byte(text), 0o644))
			}
			follow(t, dir, "sh build.sh mine mine.wasm")
			wasm, err := os.ReadFile(filepath.Join(dir, "mine.wasm"))
			require.NoError(t, err)
			runExample(t, "hello", wasm)
		})
	}
}
