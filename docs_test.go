package wasmgate_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	fenced = regexp.MustCompile("(?ms)^ *```.*?^ *```|`[^`\n]*`")
	linked = regexp.MustCompile(`\]\(<?([^()\s>]+)>?\)`)
)

// deadLinks is what the Markdown text of a file links to in the repository and is not there.
// Other sites are not asked, and a fragment is not looked for.
func deadLinks(repository fs.FS, file, text string) (dead []string) {
	for _, link := range linked.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		target, _, _ := strings.Cut(link[1], "#")
		if target == "" || strings.Contains(target, ":") {
			continue
		}
		if _, err := fs.Stat(repository, path.Join(path.Dir(file), target)); err != nil {
			dead = append(dead, link[1])
		}
	}
	return dead
}

func TestLinksInDocuments(t *testing.T) {
	repository := os.DirFS(".")
	err := fs.WalkDir(repository, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"node_modules", "bin", "data"}, d.Name())):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(p) != ".md":
			return nil
		}
		text, err := fs.ReadFile(repository, p)
		for _, link := range deadLinks(repository, p, string(text)) {
			t.Errorf("%s: link to %q, which is not there", p, link)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got := deadLinks(repository, "host/x.md", "[a](doc.go) [b](../go.mod#x) [c](#d) [d](https://e.example) `[e](f)` [g](h.md) [i](../../go.mod)")
	if want := []string{"h.md", "../../go.mod"}; !slices.Equal(got, want) {
		t.Errorf("dead links: got %q, want %q", got, want)
	}
}
