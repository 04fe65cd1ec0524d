package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// block is a fenced block of a document, and the file that the line before it names.
type block struct{ language, file, text string }

// named finds the file that a line names in code.
var named = regexp.MustCompile("`([\\w./-]+/[\\w-]+\\.\\w+)`")

// blocks are those of a section of a document. A block that is no shell's is the file that the
// text before it names last.
func blocks(t *testing.T, document, section string) (out []block) {
	t.Helper()
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	here, inside, file := false, false, ""
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "```"):
			if inside = !inside; inside && here {
				out = append(out, block{language: strings.TrimSpace(line[3:]), file: file})
				file = ""
			}
		case inside && here:
			out[len(out)-1].text += line
		case inside:
		case strings.HasPrefix(line, "## "):
			here = strings.TrimSpace(line[3:]) == section
		default:
			if all := named.FindAllStringSubmatch(line, -1); all != nil {
				file = all[len(all)-1][1]
			}
		}
	}
	require.NotEmpty(t, out, "%s has no section %q with commands", document, section)
	return out
}

// follow does what a document says: it writes the files and runs the commands, in dir. It
// gives what the commands wrote.
func follow(t *testing.T, dir string, list []block) string {
	t.Helper()
	var out strings.Builder
	for _, b := range list {
		if b.language != "sh" {
			require.NotEmpty(t, b.file, "no file is named before\n%s", b.text)
			path := filepath.Join(dir, b.file)
			require.DirExists(t, filepath.Dir(path))
			require.NoError(t, os.WriteFile(path, []byte(b.text), 0o644))
			continue
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-e")
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(b.text)
		text, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", b.text, text)
		fmt.Fprintf(&out, "%s", text)
	}
	return out.String()
}

// TestWriteABuiltIn follows plugins/README.md, in a repository of the built-in plugins'
// module and what it is made from.
func TestWriteABuiltIn(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum", "abi/v1", "sdk/go", "plugins/go.mod", "plugins/go.sum", "plugins/cmd", "plugins/internal", "plugins/cors"} {
		from, err := filepath.Abs(filepath.Join("../..", name))
		require.NoError(t, err)
		to := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
		if info, err := os.Stat(from); err == nil && info.IsDir() {
			require.NoError(t, os.CopyFS(to, os.DirFS(from)))
			continue
		}
		text, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(to, text, 0o644))
	}
	out := follow(t, dir, blocks(t, "../../plugins/README.md", "Write one"))
	require.Contains(t, out, "ok  \tgithub.com/wasmgate/wasmgate/plugins/no-robots")
	require.Contains(t, out, "5 passed, 0 failed")
	require.Regexp(t, `a robot by another name +guard +\d+ +fresh`, out)
}
