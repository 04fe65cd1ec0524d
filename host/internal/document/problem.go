package document

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/wasmgate/wasmgate/host/model"
)

// Problem is one thing that is wrong in a document.
type Problem struct {
	// Position is where; for a value that no file holds, File is the name of its source,
	// such as an environment variable, and Line is 0.
	model.Position
	// Path is the key path, such as listen.https; empty for the document as a whole.
	Path string
	// Got is what stands there, as written: references are not resolved in it.
	Got string
	// Want is what may stand there; empty when Got says all there is to say.
	Want string
}

// String is "file:line:column: key.path: got X, want Y", or "...: X" without Want.
func (p Problem) String() string {
	var b strings.Builder
	if at := p.Position.String(); at != "" {
		b.WriteString(at + ": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	if p.Want == "" {
		return b.String() + p.Got
	}
	return b.String() + "got " + p.Got + ", want " + p.Want
}

// MarshalJSON gives an object with file, line, column, path, got and want.
func (p Problem) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		File   string `json:"file"`
		Line   int    `json:"line"`
		Column int    `json:"column"`
		Path   string `json:"path"`
		Got    string `json:"got"`
		Want   string `json:"want"`
	}{p.File, p.Line, p.Column, p.Path, p.Got, p.Want})
}

// Errors is everything that is wrong, in the order of the files. It is the error that
// config and openapi return; errors.As finds it.
type Errors []Problem

// Error is one line for each problem.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Err is nil when there is no problem, else e, sorted by position and without repeats.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e.sorted()
}

func (e Errors) sorted() Errors {
	s := slices.Clone(e)
	slices.SortStableFunc(s, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	told := make(map[Problem]bool, len(s))
	return slices.DeleteFunc(s, func(p Problem) bool { // repeats need not be neighbours
		again := told[p]
		told[p] = true
		return again
	})
}
