package wasmtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

// Case is one hostile module of an archive: fields in Wasm's text format, and what comes of it.
//
// A case's first lines are comments: what is attacked, and then the outcome, which is the first
// line of the error, or "served". The text is the module's fields. Where it does not have them
// itself it gets the memory, marker and scratch area that every plugin has, and the hook
// guard, which calls $evil, unless the request has an id that begins with 0 and three fields in all.
type Case struct {
	Name, Attacks, Outcome string
	Wasm                   []byte

	text string
}

// Scratch is where the cases that do not say otherwise have their scratch area.
const (
	Scratch     = 1024
	ScratchSize = 4096
)

// requestID is in a record of three fields the first byte of the request's id, which is its first
// field; in a longer one it is the number of the fourth field.
const requestID = Scratch + 16 + 3*12

// Cases assembles the modules of an archive with wat2wasm, which does not check them.
func Cases(archive string) ([]Case, error) {
	a, err := txtar.ParseFile(archive)
	if err != nil {
		return nil, err
	}
	var list []Case
	for _, f := range a.Files {
		lines := strings.SplitN(string(f.Data), "\n", 3)
		if len(lines) < 3 || !strings.HasPrefix(lines[0], ";; ") || !strings.HasPrefix(lines[1], ";; ") {
			return nil, fmt.Errorf("%s: %s: want two comments and a module", archive, f.Name)
		}
		c := Case{Name: f.Name, Attacks: lines[0][3:], Outcome: lines[1][3:], text: lines[2]}
		if c.Wasm, err = Assemble(plugin(c.text)); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", archive, f.Name, err)
		}
		list = append(list, c)
	}
	return list, nil
}

// Update writes the archive anew, with the outcomes that the cases have now.
func Update(archive string, list []Case) error {
	a, err := txtar.ParseFile(archive)
	if err != nil {
		return err
	}
	a.Files = nil
	for _, c := range list {
		a.Files = append(a.Files, txtar.File{Name: c.Name, Data: []byte(";; " + c.Attacks + "\n;; " + c.Outcome + "\n" + c.text)})
	}
	return os.WriteFile(archive, txtar.Format(a), 0o644)
}

// plugin completes the fields of a module, whose imports must stand first.
func plugin(text string) string {
	imports, rest := "", text
	for strings.HasPrefix(rest, "(import") {
		line, after, _ := strings.Cut(rest, "\n")
		imports, rest = imports+line+"\n", after
	}
	add := func(what, field string) {
		if !strings.Contains(text, what) {
			rest += field + "\n"
		}
	}
	add("(memory ", `(memory (export "memory") 1)`)
	add(`"wg_abi_v1"`, `(func (export "wg_abi_v1"))`)
	add(`"wg_scratch"`, fmt.Sprintf(`(func (export "wg_scratch") (result i64) (i64.const %#x))`, uint64(Scratch)<<32|ScratchSize))
	if strings.Contains(text, "$evil") {
		add(`"wg_guard"`, fmt.Sprintf(`(data (i32.const 256) "WGR1\01\00\00\00\10\00\00\00\02\00\00\00")
			(func (export "wg_guard") (param i32) (result i64)
				(if (i32.load8_u (i32.const %d)) (then (return (call $evil))))
				(i64.const 0x0000010000000010))`, requestID))
	} else {
		add(`"wg_guard"`, `(func (export "wg_guard") (param i32) (result i64) (i64.const 0))`)
	}
	return "(module\n" + imports + rest + ")"
}

// Assemble is a module of Wasm's text format, as it stands and unchecked.
func Assemble(text string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "wat")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "m.wasm")
	cmd := exec.Command("wat2wasm", "--no-check", "--debug-names", "--enable-exceptions", "--enable-threads", "--enable-tail-call",
		"--enable-memory64", "--enable-multi-memory", "--enable-extended-const", "-", "-o", out)
	cmd.Stdin = strings.NewReader(text)
	var message bytes.Buffer
	cmd.Stderr = &message
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("wat2wasm: %w: %s", err, message.String())
	}
	return os.ReadFile(out)
}
