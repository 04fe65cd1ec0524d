package project

import (
	"context"
	"regexp"
	"slices"
	"strings"
)

// language is one in which plugins are written.
type language struct {
	name  string // of --lang, of its SDK's folder and of its template
	title string
	needs string // the toolchain
	files []string
	// handler finds the name of the function that decides, in the source of a hook.
	handler *regexp.Regexp
	// imports are what the source needs, one a line; nil where there are none.
	imports func(decisions []decision, body string) []string
	ignore  []string // by git
	compile func(ctx context.Context, p *Project) ([]byte, error)
}

func languages() []language {
	return []language{
		{name: "go", title: "Go", needs: "Go 1.26", files: []string{"main.go", "go.mod"},
			handler: regexp.MustCompile(`(?m)^func (\w+)\(`), imports: goImports, compile: compileGo},
		{name: "rust", title: "Rust", needs: "rustc and cargo with the target wasm32-unknown-unknown",
			files: []string{"src/lib.rs", "Cargo.toml"}, ignore: []string{"/target/"},
			handler: regexp.MustCompile(`(?m)^fn (\w+)\(`), imports: rustImports, compile: compileRust},
		{name: "assemblyscript", title: "AssemblyScript", needs: "Node.js, and AssemblyScript's compiler by `npm ci` in `sdk/`",
			files: []string{"assembly/index.ts"}, ignore: []string{"node_modules/"},
			handler: regexp.MustCompile(`(?m)^function (\w+)\(`), imports: assemblyScriptImports, compile: compileAssemblyScript},
		{name: "zig", title: "Zig", needs: "Zig 0.17", files: []string{"src/main.zig"},
			handler: regexp.MustCompile(`(?m)^fn (\w+)\(`), imports: zigImports, compile: compileZig},
		{name: "c", title: "C", needs: "clang and wasm-ld", files: []string{"main.c"}, compile: compileC},
	}
}

// Languages are the names of the languages that have an SDK.
func Languages() (names []string) {
	for _, l := range languages() {
		names = append(names, l.name)
	}
	return names
}

func languageByName(name string) (language, bool) {
	all := languages()
	i := slices.IndexFunc(all, func(l language) bool { return l.name == name })
	if i < 0 {
		return language{}, false
	}
	return all[i], true
}

// goImports are the import lines in gofmt's order; an empty one parts the standard library's.
func goImports(decisions []decision, body string) (lines []string) {
	const sdk = "github.com/wasmgate/wasmgate/sdk/go"
	if strings.Contains(body, "wasmgate.") {
		lines = append(lines, sdk)
	}
	for _, d := range decisions {
		lines = append(lines, sdk+"/"+d.Package)
	}
	slices.Sort(lines)
	if strings.Contains(body, "strings.") {
		lines = append([]string{"strings", ""}, lines...)
	}
	return lines
}

func goPackage(hook string) string { return strings.ReplaceAll(hook, "_", "") }

// used are those of names that stand in body as words.
func used(body string, names ...string) (out []string) {
	for _, n := range names {
		if regexp.MustCompile(`\b` + n + `\b`).MatchString(body) {
			out = append(out, n)
		}
	}
	return out
}

// rustImports are the paths of use declarations.
func rustImports(_ []decision, body string) (uses []string) {
	switch tables := used(body, "field", "result"); len(tables) {
	case 1:
		uses = append(uses, "wasmgate::abi::"+tables[0])
	case 2:
		uses = append(uses, "wasmgate::abi::{"+strings.Join(tables, ", ")+"}")
	}
	return append(uses, "wasmgate::{"+strings.Join(used(body, "Bucket", "Edit", "Part", "Request", "Writer"), ", ")+"}")
}

// assemblyScriptImports are the names to import.
func assemblyScriptImports(_ []decision, body string) []string {
	names := append([]string{"Hook", "serve"}, used(body, "Bucket", "Edit", "Field", "Pair", "Request", "Result", "Writer", "select", "text")...)
	slices.SortFunc(names, strings.Compare)
	return names
}

// zigImports are the declarations at the head of a file.
func zigImports(_ []decision, body string) (lines []string) {
	if strings.Contains(body, "std.") {
		lines = append(lines, `const std = @import("std");`)
	}
	lines = append(lines, `const wasmgate = @import("wasmgate");`)
	for _, n := range used(body, "text", "select", "Request", "Writer") {
		lines = append(lines, "const "+n+" = wasmgate."+n+";")
	}
	return lines
}
