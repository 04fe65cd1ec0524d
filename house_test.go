// Package wasmgate_test holds the rules of the house as tests. They read the source and
// build nothing, so that they fail at once and with the reason.
package wasmgate_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module    = "github.com/wasmgate/wasmgate/"
	fileLines = 500
	funcLines = 60
)

// source is one Go file.
type source struct {
	path, dir string // with slashes, from the root of the repository
	test      bool
	generated bool
	lines     int
	file      *ast.File
}

// house is every Go file of the repository.
type house struct {
	fset  *token.FileSet
	files []*source
	used  map[string]bool // exceptions that were needed
}

func newHouse() *house { return &house{fset: token.NewFileSet(), used: map[string]bool{}} }

func (h *house) add(name, text string) error {
	file, err := parser.ParseFile(h.fset, name, text, parser.ParseComments)
	if err != nil {
		return err
	}
	h.files = append(h.files, &source{
		path: name, dir: path.Dir(name), file: file, test: strings.HasSuffix(name, "_test.go"),
		generated: ast.IsGenerated(file), lines: strings.Count(text, "\n"),
	})
	return nil
}

func load(t *testing.T) *house {
	h := newHouse()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != "." && (strings.HasPrefix(name, ".") || slices.Contains([]string{"testdata", "node_modules", "bin", "data"}, name)) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return h.add(filepath.ToSlash(p), string(text))
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(h.files) == 0 {
		t.Fatal("no Go file found: run the test in the root of the repository")
	}
	return h
}

func (h *house) at(n ast.Node) string {
	p := h.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", filepath.ToSlash(p.Filename), p.Line)
}

func (h *house) span(n ast.Node) int {
	return h.fset.Position(n.End()).Line - h.fset.Position(n.Pos()).Line + 1
}

// reporter takes what breaks a rule.
type reporter func(format string, args ...any)

// rules are by the name of their subtest.
var rules = map[string]func(*house, reporter){
	"imports": (*house).imports, "layers": (*house).layers, "names": (*house).names,
	"package doc": (*house).packageDocs, "doc": (*house).docs, "size": (*house).sizes,
	"state": (*house).state, "calls": (*house).calls, "go": (*house).goroutines, "errors": (*house).errorTexts,
	"exceptions": (*house).exceptions,
}

func TestHouse(t *testing.T) {
	h := load(t)
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) { rule(h, t.Errorf) })
	}
}

// exceptions wants each of them to be needed: a list that only grows is no rule.
func (h *house) exceptions(report reporter) {
	h.sizes(func(string, ...any) {})
	h.calls(func(string, ...any) {})
	for _, table := range []map[string]string{sizeExceptions, callExceptions} {
		for key, reason := range table {
			if !h.used[key] {
				report("exception %q (%s) is not needed any more: remove it", key, reason)
			}
		}
	}
}

// covers tells whether the ban is for an import of name.
func (b *ban) covers(name string) bool {
	if exact, ok := strings.CutSuffix(b.path, "$"); ok {
		return name == exact
	}
	return under(name, b.path)
}

// under tells whether dir is root or below it.
func under(dir, root string) bool { return dir == root || strings.HasPrefix(dir, root+"/") }

func (h *house) imports(report reporter) {
	for _, s := range h.files {
		for _, i := range s.file.Imports {
			name := strings.Trim(i.Path.Value, `"`)
			for _, b := range bans {
				if !b.covers(name) || s.test && !b.tests {
					continue
				}
				if !slices.ContainsFunc(b.allowed, func(root string) bool { return under(s.dir, root) }) {
					report("%s: imports %q: %s", h.at(i), name, b.reason)
				}
			}
		}
	}
}

// layers enforces that packages of host import only what stands below them.
func (h *house) layers(report reporter) {
	rank := map[string]int{}
	for r, layer := range hostLayers {
		for _, p := range layer {
			rank[p] = r
		}
	}
	for _, s := range h.files {
		if !under(s.dir, "host") {
			continue
		}
		own := "host/internal/" + noun(s.dir)
		if noun(s.dir) == "" {
			own = s.dir
		}
		r, known := rank[own]
		if !known {
			report("%s: package %s is in no layer: add it to hostLayers", s.path, own)
			continue
		}
		for _, i := range s.file.Imports {
			name, ours := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), module)
			other := "host/internal/" + noun(name)
			if noun(name) == "" {
				other = name
			}
			if o, known := rank[other]; ours && known && other != own && o >= r && !s.test {
				report("%s: %s imports %s: arrows go downward only; declare an interface where it is used", h.at(i), own, other)
			}
		}
	}
}

// noun is the package of host/internal that dir is or lies in.
func noun(dir string) string {
	rest, ok := strings.CutPrefix(dir, "host/internal/")
	if !ok {
		return ""
	}
	first, _, _ := strings.Cut(rest, "/")
	return first
}

func (h *house) names(report reporter) {
	for _, s := range h.files {
		if base := path.Base(s.dir); slices.Contains(nothingNames, base) || slices.Contains(nothingNames, s.file.Name.Name) {
			report("%s: package %q says nothing about what it holds", s.path, base)
		}
	}
}

func (h *house) packageDocs(report reporter) {
	doc, seen := map[string]string{}, map[string]bool{}
	for _, s := range h.files {
		if s.test || s.dir == "." {
			continue
		}
		seen[s.dir] = true
		if s.file.Doc == nil || s.generated {
			continue
		}
		command := s.file.Name.Name == "main" // go doc shows its comment as it stands
		switch want, text := "Package "+s.file.Name.Name+" ", s.file.Doc.Text(); {
		case doc[s.dir] != "":
			report("%s: a second package comment; the first is in %s", s.path, doc[s.dir])
		case !command && !strings.HasPrefix(text, want):
			report("%s: the package comment begins %q, want %q", s.path, strings.SplitN(text, "\n", 2)[0], want)
		case !command && under(s.dir, "host") && path.Base(s.path) != "doc.go":
			report("%s: the package comment belongs in doc.go, where a newcomer looks", s.path)
		}
		doc[s.dir] = s.path
	}
	for dir := range seen {
		if doc[dir] == "" {
			report("%s: no package comment: what does it do, what does it refuse, where to start?", dir)
		}
	}
}

func (h *house) docs(report reporter) {
	for _, s := range h.files {
		if s.test || s.file.Name.Name == "main" {
			continue
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
					report("%s: %s has no comment", h.at(d), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					h.specDoc(report, d, spec)
				}
			}
		}
	}
}

func (h *house) specDoc(report reporter, d *ast.GenDecl, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Name.IsExported() && spec.Doc == nil && d.Doc == nil {
			report("%s: type %s has no comment", h.at(spec), spec.Name.Name)
		}
	case *ast.ValueSpec:
		for _, n := range spec.Names {
			if n.IsExported() && spec.Doc == nil && spec.Comment == nil && d.Doc == nil {
				report("%s: %s has no comment", h.at(spec), n.Name)
			}
		}
	}
}

// exportedReceiver tells whether d is a function, or a method that godoc shows.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	name := ""
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name
		}
		return name == ""
	})
	return ast.IsExported(name)
}

func (h *house) sizes(report reporter) {
	over := func(key string, lines, limit int) {
		if lines <= limit {
			return
		}
		if _, ok := sizeExceptions[key]; ok {
			h.used[key] = true
			return
		}
		report("%s: %d lines of code, want at most %d: split it by its nouns", key, lines, limit)
	}
	for _, s := range h.files {
		if s.generated {
			continue
		}
		over(s.path, s.lines-h.data(s.file), fileLines)
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				over(s.path+" "+f.Name.Name, h.span(f.Body)-h.data(f.Body), funcLines)
			}
		}
	}
}

// data is the lines of n that are tables: composite literals and texts of several lines,
// without the functions in them.
func (h *house) data(n ast.Node) (lines int) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			lines += h.span(n) - 1
			ast.Inspect(n, func(n ast.Node) bool {
				if f, ok := n.(*ast.FuncLit); ok {
					lines -= h.span(f.Body) - 1
					return false
				}
				return true
			})
			return false
		case *ast.BasicLit:
			lines += h.span(n) - 1
		}
		return true
	})
	return lines
}

// calls finds waits by the clock and tests that can be left out.
func (h *house) calls(report reporter) {
	for _, s := range h.files {
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			name := dotted(sel)
			for _, c := range callBans {
				if !c.pattern.MatchString(name) || c.where == inTests && !s.test || c.where == inCode && s.test {
					continue
				}
				key := s.path + " " + name
				if _, ok := callExceptions[key]; ok {
					h.used[key] = true
				} else {
					report("%s: %s: %s", h.at(sel), name, c.reason)
				}
			}
			return true
		})
	}
}

// goroutines wants a comment at every go statement: who owns it, who waits for it?
func (h *house) goroutines(report reporter) {
	for _, s := range h.files {
		if s.test || !under(s.dir, "host") {
			continue
		}
		commented := map[int]bool{}
		for _, g := range s.file.Comments {
			for l := h.fset.Position(g.Pos()).Line; l <= h.fset.Position(g.End()).Line; l++ {
				commented[l] = true
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			g, ok := n.(*ast.GoStmt)
			if !ok {
				return true
			}
			first, last := h.fset.Position(g.Pos()).Line, h.fset.Position(g.End()).Line
			if !commented[first-1] && !commented[first] && !commented[last] {
				report("%s: a goroutine without a word on who owns it and what waits for it", h.at(g))
			}
			return true
		})
	}
}

var badError = regexp.MustCompile(`^(failed|unable|cannot|could not|error) |^[A-Z][a-z]+ |[.!\n]$`)

// errorTexts wants errors to begin with the operation, in lower case, and to end open.
func (h *house) errorTexts(report reporter) {
	for _, s := range h.files {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 || dotted(call.Fun) != "errors.New" && dotted(call.Fun) != "fmt.Errorf" {
				return true
			}
			lit, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				return true
			}
			if text, err := strconv.Unquote(lit.Value); err == nil && badError.MatchString(text) && !strings.HasPrefix(text, "Wasm") {
				report("%s: error %q: begin with the operation in lower case, end without a stop", h.at(lit), text)
			}
			return true
		})
	}
}
