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
	"slices"
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
	// Hooks are one or more of [Hooks], in any order.
	Hooks []string
	// SDKs has a folder for each language, see [ReadSDKs].
	SDKs fs.FS
}

// New writes the folder ID below dir and gives its path. The folder may be there when it is
// empty. The errors say what there is to choose from.
func New(dir string, s Spec) (folder string, err error) {
	l, hooks, err := s.check()
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
	files, err := render(s.ID, l, hooks)
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

// check finds what s names; the hooks in the contract's order.
func (s *Spec) check() (l language, hooks []abi.Hook, err error) {
	l, ok := languageByName(s.Language)
	if !ok {
		return l, nil, fmt.Errorf("language %q, want one of %s", s.Language, strings.Join(Languages(), ", "))
	}
	for _, name := range s.Hooks {
		hook, _ := abi.HookByName(name)
		if _, ok := exampleOf(hook); !ok {
			return l, nil, fmt.Errorf("hook %q, want one or more of %s", name, strings.Join(Hooks(), ", "))
		}
		if slices.Contains(hooks, hook) {
			return l, nil, fmt.Errorf("hook %q is there twice", name)
		}
		hooks = append(hooks, hook)
	}
	if len(hooks) == 0 {
		return l, nil, fmt.Errorf("no hook, want one or more of %s", strings.Join(Hooks(), ", "))
	}
	slices.Sort(hooks)
	// The manifest's own rule, in its own words.
	_, err = abi.ParseManifest(fmt.Appendf(nil, `{"id": %q, "version": "0", "abi": %d}`, s.ID, abi.Version))
	return l, hooks, err
}

// page is what templates see.
type page struct {
	ID, Crate              string
	Does                   string // in one sentence
	Decisions              []decision
	Language, LanguageName string
	Needs, Source, Body    string
	Imports, Ignore        []string
}

// decision is one hook of a new plugin.
type decision struct {
	Hook, Package, Mask string
	Name                string // MapRequest
	Function            string // that decides, in the source; empty where a macro names it
}

// render makes all files but the SDK, by their paths.
func render(id string, l language, hooks []abi.Hook) (map[string][]byte, error) {
	t, err := template.New("").Delims("[[", "]]").ParseFS(templates, "templates/project.tmpl", "templates/"+l.name+".tmpl")
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	p := page{ID: id, Crate: strings.ReplaceAll(id, "-", "_"), Language: l.name, LanguageName: l.title,
		Needs: l.needs, Source: l.files[0], Ignore: l.ignore}
	var does, bodies []string
	for _, hook := range hooks {
		name := hook.String()
		var body strings.Builder
		if err := t.ExecuteTemplate(&body, name, p); err != nil {
			return nil, err
		}
		e, _ := exampleOf(hook)
		d := decision{Hook: name, Package: goPackage(name), Name: camel(name), Mask: e.mask}
		if l.handler != nil {
			d.Function = l.handler.FindStringSubmatch(body.String())[1] // each has one: a test renders all
		}
		p.Decisions = append(p.Decisions, d)
		does, bodies = append(does, e.does), append(bodies, body.String())
		cases := "templates/cases/" + name + ".json"
		if files["testdata/"+name+".json"], err = templates.ReadFile(cases); err != nil {
			return nil, err
		}
	}
	p.Does, p.Body = sentence(does), strings.Join(bodies, "\n")
	if l.imports != nil {
		p.Imports = l.imports(p.Decisions, p.Body)
	}
	for _, name := range append([]string{manifestFile, projectFile, ".gitignore", "README.md"}, l.files...) {
		var b bytes.Buffer
		if err := t.ExecuteTemplate(&b, name, p); err != nil {
			return nil, err
		}
		files[name] = b.Bytes()
	}
	return files, nil
}

func camel(hook string) (name string) {
	for _, word := range strings.Split(hook, "_") {
		name += strings.ToUpper(word[:1]) + word[1:]
	}
	return name
}

// sentence is what a plugin does.
func sentence(does []string) string {
	if len(does) > 2 {
		return fmt.Sprintf("takes part in %d hooks", len(does))
	}
	return strings.Join(does, " and ")
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
