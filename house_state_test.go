package wasmgate_test

import (
	"go/ast"
	"go/token"
	"regexp"
)

// state finds variables of packages that hold state, and init functions: two hosts in
// one process must not meet.
func (h *house) state(report reporter) {
	vars := map[string]map[string]bool{} // by folder
	for _, s := range h.files {
		if s.test || !stateless(s.dir) {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				report("%s: func init: what it does should be called by name", h.at(f))
			}
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				spec := spec.(*ast.ValueSpec)
				for i, n := range spec.Names {
					if vars[s.dir] == nil {
						vars[s.dir] = map[string]bool{}
					}
					vars[s.dir][n.Name] = n.Name != "_"
					if why := holdsState(spec, i); why != "" {
						report("%s: variable %s is %s: state belongs in a value that New makes", h.at(n), n.Name, why)
					}
				}
			}
		}
	}
	for _, s := range h.files {
		if !s.test && stateless(s.dir) {
			h.assignments(report, s, vars[s.dir])
		}
	}
}

func stateless(dir string) bool { return under(dir, "host") || under(dir, "abi") || under(dir, "cmd") }

var stateful = regexp.MustCompile(`^(sync\.(Mutex|RWMutex|Map|WaitGroup|Cond)|atomic\.\w+)$`)

// holdsState says what makes the i-th variable of spec state; empty when nothing does.
func holdsState(spec *ast.ValueSpec, i int) string {
	if name := dotted(spec.Type); stateful.MatchString(name) {
		return "a " + name
	}
	if _, ok := spec.Type.(*ast.ChanType); ok {
		return "a channel"
	}
	if i >= len(spec.Values) {
		return ""
	}
	if lit, ok := spec.Values[i].(*ast.CompositeLit); ok && stateful.MatchString(dotted(lit.Type)) {
		return "a " + dotted(lit.Type)
	}
	if call, ok := spec.Values[i].(*ast.CallExpr); ok {
		if id, ok := call.Fun.(*ast.Ident); ok && (id.Name == "make" || id.Name == "new") {
			return "made empty, to be filled"
		}
	}
	return ""
}

// dotted is the name of a type, such as sync.Mutex, without its type arguments.
func dotted(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		return dotted(e.X) + "." + e.Sel.Name
	case *ast.IndexExpr:
		return dotted(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// assignments reports what changes a variable of the package after its declaration.
func (h *house) assignments(report reporter, s *source, vars map[string]bool) {
	check := func(e ast.Expr) {
		id := root(e)
		if id == nil || !vars[id.Name] {
			return
		}
		if id.Obj != nil { // declared in this file: by the package, or a local one that hides it?
			if spec, ok := id.Obj.Decl.(*ast.ValueSpec); !ok || s.file.Scope.Lookup(id.Name) == nil || s.file.Scope.Lookup(id.Name).Decl != spec {
				return
			}
		}
		report("%s: changes %s, a variable of the package", h.at(e), id.Name)
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, e := range n.Lhs {
					check(e)
				}
			}
		case *ast.IncDecStmt:
			check(n.X)
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") {
				check(n.Args[0])
			}
		}
		return true
	})
}

// root is the variable that e is a part of.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		default:
			return nil
		}
	}
}
