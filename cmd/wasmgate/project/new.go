package project

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/template"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

//go:embed templates
var templates embed.FS

// Spec is a plugin to be made.
type Spec struct {
	// ID is what the plugin is called; the folder too.
	ID string
	// Language is one of [Languages].
	Language string
	// Hook is one of [Hooks].
	Hook string
	// SDKs has a folder for each language, see [ReadSDKs].
	SDKs fs.FS
}

// New writes the folder ID below dir and gives its path. The folder may be there when it is
// empty. The errors say what there is to choose from.
func New(dir string, s Spec) (folder string, err error) {
	l, hook, err := s.check()
	if err != nil {
		return "", err
	}
	folder = filepath.Join(dir, s.ID)
	switch entries, err := os.ReadDir(folder); {
	case err == nil && len(entries) > 0:
		return "", fmt.Errorf("make plugin %q: folder %s is not empty", s.ID, folder)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("make plugin %q: %w", s.ID, err)
	}
	files, err := render(s.ID, l, hook)
	if err != nil {
		return "", fmt.Errorf("make plugin %q: %w", s.ID, err)
	}
	if err := addSDK(files, s.SDKs, l.name); err != nil {
		return "", fmt.Errorf("make plugin %q: %w", s.ID, err)
	}
	for name, content := range files {
		target := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return "", fmt.Errorf("make plugin %q: %w", s.ID, err)
		}
		if err := os.WriteFile(target, content, 0o644); err != nil {
			return "", fmt.Errorf("make plugin %q: %w", s.ID, err)
		}
	}
	return folder, nil
}

func (s *Spec) check() (language, abi.Hook, error) {
	l, ok := languageByName(s.Language)
	if !ok {
		return l, 0, fmt.Errorf("language %q, want one of %s", s.Language, strings.Join(Languages(), ", "))
	}
	hook, _ := abi.HookByName(s.Hook)
	if _, ok := exampleOf(hook); !ok {
		return l, 0, fmt.Errorf("hook %q, want one of %s", s.Hook, strings.Join(Hooks(), ", "))
	}
	// The manifest's own rule, in its own words.
	_, err := abi.ParseManifest(fmt.Appendf(nil, `{"id": %q, "version": "0", "abi": %d}`, s.ID, abi.Version))
	return l, hook, err
}

// page is what templates see.
type page struct {
	ID, Crate, Does, Mask   string
	Hook, Package, Function string
	Language, LanguageName  string
	Needs, Source, Body     string
	Imports, Ignore         []string
}

// render makes all files but the SDK, by their paths.
func render(id string, l language, hook abi.Hook) (map[string][]byte, error) {
	t, err := template.New("").Delims("[[", "]]").ParseFS(templates, "templates/project.tmpl", "templates/"+l.name+".tmpl")
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	write := func(name string, p page) error {
		var b bytes.Buffer
		err := t.ExecuteTemplate(&b, name, p)
		files[name] = b.Bytes()
		return err
	}
	e, _ := exampleOf(hook)
	p := page{ID: id, Crate: strings.ReplaceAll(id, "-", "_"), Does: e.does, Mask: e.mask, Hook: hook.String(),
		Package: goPackage(hook.String()), Language: l.name, LanguageName: l.title, Needs: l.needs, Source: l.files[0], Ignore: l.ignore}
	var body strings.Builder
	if err := t.ExecuteTemplate(&body, p.Hook, p); err != nil {
		return nil, err
	}
	p.Body = body.String()
	if l.imports != nil {
		p.Imports = l.imports(p.Hook, p.Body)
		p.Function = l.handler.FindStringSubmatch(p.Body)[1] // each template has one: a test renders all
	}
	for _, name := range append([]string{"manifest.json", projectFile, ".gitignore", "README.md"}, l.files...) {
		if err := write(name, p); err != nil {
			return nil, err
		}
	}
	cases, err := templates.ReadFile("templates/cases/" + p.Hook + ".json")
	files["testdata/"+p.Hook+".json"] = cases
	return files, err
}

// addSDK adds a language's SDK below sdk/.
func addSDK(files map[string][]byte, sdks fs.FS, language string) error {
	return fs.WalkDir(sdks, language, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(sdks, name)
		files[path.Join("sdk", strings.TrimPrefix(name, language+"/"))] = content
		return err
	})
}
