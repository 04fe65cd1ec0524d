package inspect

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// shownExports is how many exports and sections the text lists; the JSON has them all.
const shownExports = 40

// writer writes lines, with texts of the module made harmless.
type writer struct {
	w   io.Writer
	err error
}

func (w *writer) line(format string, args ...any) {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = plain(s)
		}
	}
	if _, err := fmt.Fprintf(w.w, format+"\n", args...); w.err == nil {
		w.err = err
	}
}

// list writes a heading, and its lines or that there are none.
func (w *writer) list(heading, none string, lines []string) {
	w.line("")
	w.line("%s", heading)
	if len(lines) == 0 {
		w.line("  %s", none)
	}
	for _, l := range lines {
		w.line("  - %s", l)
	}
}

// plain is s on one line, with what a terminal could obey, or what turns the order of
// letters, escaped.
func plain(s string) string {
	var out strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			out.WriteString("; ")
		case unicode.IsPrint(r) && r != unicode.ReplacementChar:
			out.WriteRune(r)
		default:
			out.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return out.String()
}

// WriteText writes the page for people.
func WriteText(out io.Writer, name string, p *Page) error {
	w := &writer{w: out}
	w.line("%s", name)
	if m := p.Manifest; m != nil {
		w.line("  says it is %s, version %s: %s", m.ID, m.Version, m.Description)
	}
	w.line("  SHA-256 %s, %d bytes, interface %s", strings.TrimPrefix(p.Digest, "sha256:"), p.Size, orNone(p.ABI))
	w.signatures(p.Signatures)
	if p.Refused != "" {
		w.line("  REFUSED: the gateway does not take it: %s", p.Refused)
	} else {
		w.line("  the gateway takes it")
	}
	if p.ABI == "" {
		w.line("  nothing more can be said of it: it could not be read")
		return w.err
	}
	var powers []string
	for _, power := range p.Powers {
		powers = append(powers, powerText(&power))
	}
	w.list("What it can do outside its own memory (all of it)", "nothing: it computes, and answers the gateway", powers)
	if len(p.Unknown) > 0 {
		w.list("Imports that nobody knows", "", p.Unknown)
	}
	if len(p.Shims) > 0 {
		w.line("")
		w.line("Runtime shims: inert stand-ins for its language's runtime; no files, no sockets, no environment")
		w.line("  %s", strings.Join(p.Shims, ", "))
	}
	w.hooks(p.Hooks)
	if p.Manifest != nil {
		var wants []string
		for _, want := range p.Manifest.Wants {
			wants = append(wants, fmt.Sprintf("%s (%s): %s", want.Grant, want.Capability, want.Reason))
		}
		w.list("Grants that it asks for (a policy need not give them)", "none", wants)
	}
	w.limits(p)
	w.cases(p.Cases)
	if len(p.Notes) > 0 {
		w.list("Notes", "", p.Notes)
	}
	return w.err
}

func orNone(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func powerText(p *Power) string {
	text := p.Power
	if p.Grant != "" {
		text += "; bounded by the grant " + p.Grant
	}
	if p.Reason != "" {
		text += "; it says: " + p.Reason
	}
	return text + "  [" + strings.Join(p.Imports, ", ") + "]"
}

func (w *writer) signatures(list []Signature) {
	if len(list) == 0 {
		w.line("  unsigned: no signature beside it")
	}
	for _, s := range list {
		switch {
		case s.Error != "":
			w.line("  signature %s: %s", s.File, s.Error)
		case s.Verified:
			w.line("  signed by key %s, verified (%s)%s", s.KeyID, s.File, saying(&s))
		default:
			w.line("  signature of key %s, NOT verified: give --key, or see plugin verify (%s)%s", s.KeyID, s.File, saying(&s))
		}
	}
}

func saying(s *Signature) string {
	text := ""
	if s.ID != "" {
		text = " for " + s.ID + " " + s.Version
	}
	if s.Signed != "" {
		text += " at " + s.Signed
	}
	return text
}

func (w *writer) hooks(hooks []Hook) {
	w.line("")
	w.line("What it decides, and what it is shown for that")
	if len(hooks) == 0 {
		w.line("  nothing")
	}
	for _, h := range hooks {
		if h.Does == "" {
			w.line("  - %s", h.Hook)
			continue
		}
		w.line("  - %s: %s", h.Hook, h.Does)
		if len(h.Sees) == 0 {
			w.line("      sees nothing of the request")
		}
		if len(h.Sees) > 0 {
			w.line("      sees %s", strings.Join(h.Sees, "; "))
		}
	}
}

func (w *writer) limits(p *Page) {
	w.line("")
	w.line("Size and limits (a policy's limits on fuel and memory hold in any case)")
	w.line("  memory: %d bytes at the start, at most %s", p.Memory.Min, limitText(p.Memory.Max))
	w.line("  stack: %d bytes for calls that are not counted, recursion: %s, cut off at %d", p.Stack.Frames, yes(p.Stack.Recursive), p.Stack.Limit)
	c := &p.Code
	w.line("  code: %d functions and %d imported, %d bytes; data %d bytes; custom sections %d bytes", c.Functions, c.ImportedFunctions, c.CodeBytes, c.DataBytes, c.CustomBytes)
	w.line("  globals: %d, of which code can change %d; tables: %d; start function: %s", c.Globals, c.MutableGlobals, len(c.Tables), yes(c.StartFunction))
	var sections []string
	for _, s := range c.CustomSections {
		sections = append(sections, fmt.Sprintf("%s (%d)", s.Name, s.Bytes))
	}
	w.line("  custom sections: %s", some(sections))
	w.line("  exports: %s", some(p.Exports))
}

// some is the beginning of a list.
func some(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	if more := len(list) - shownExports; more > 0 {
		return strings.Join(list[:shownExports], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(list, ", ")
}

func (w *writer) cases(cases []Case) {
	if len(cases) == 0 {
		return
	}
	w.line("")
	w.line("Fuel of its own cases (the same on every machine)")
	for _, c := range cases {
		result := "as wanted"
		if !c.OK {
			result = "FAILS: " + c.Error
		}
		w.line("  - %s: %s, %d fuel, %s", c.Hook, c.Name, c.Fuel, result)
	}
}

// WriteDiff writes the differences for people, new powers first.
func WriteDiff(out io.Writer, d *Diff) error {
	w := &writer{w: out}
	w.line("")
	w.line("Differences from %s", strings.TrimPrefix(d.Old, "sha256:"))
	powers := func(list []Power) (lines []string) {
		for _, p := range list {
			lines = append(lines, powerText(&p))
		}
		return lines
	}
	wants := func(list []Want) (lines []string) {
		for _, want := range list {
			lines = append(lines, want.Grant+" ("+want.Capability+"): "+want.Reason)
		}
		return lines
	}
	w.list("NEW POWERS", "no new power", powers(d.NewPowers))
	w.list("Powers that it has no more", "none", powers(d.RemovedPowers))
	w.list("New hooks", "none", d.NewHooks)
	w.list("Hooks that it has no more", "none", d.RemovedHooks)
	w.list("Sees now, and did not before", "nothing", d.Widened)
	w.list("Sees no more", "nothing", d.Narrowed)
	w.list("Grants that it asks for now", "none", wants(d.NewWants))
	w.list("Grants that it asks for no more", "none", wants(d.RemovedWants))
	var changes []string
	for _, c := range d.Changed {
		changes = append(changes, fmt.Sprintf("%s: %q, was %q", c.What, c.New, c.Old))
	}
	w.list("Else", "nothing", changes)
	return w.err
}
