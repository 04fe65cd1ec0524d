package inspect

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// Diff is what a new version of a module has that the old one had not. Its JSON is stable.
type Diff struct {
	Old string `json:"old"` // digests
	New string `json:"new"`
	// NewPowers are what it can do that the old one could not; RemovedPowers the other way.
	NewPowers     []Power `json:"new_powers"`
	RemovedPowers []Power `json:"removed_powers"`
	// NewHooks are decisions that it takes and the old one did not.
	NewHooks     []string `json:"new_hooks"`
	RemovedHooks []string `json:"removed_hooks"`
	// Widened are what hooks of both are shown now and were not before, in words; Narrowed
	// the other way.
	Widened  []string `json:"widened"`
	Narrowed []string `json:"narrowed"`
	// NewWants are grants that it asks for now.
	NewWants     []Want `json:"new_wants"`
	RemovedWants []Want `json:"removed_wants"`
	// Changed is everything else that differs.
	Changed []Change `json:"changed"`
}

// Change is a value that differs.
type Change struct {
	What string `json:"what"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// Compare tells how now differs from old.
func Compare(old, now *Page) *Diff {
	d := &Diff{Old: old.Digest, New: now.Digest, NewPowers: missing(now.Powers, old.Powers), RemovedPowers: missing(old.Powers, now.Powers),
		NewHooks: []string{}, RemovedHooks: []string{}, Widened: []string{}, Narrowed: []string{},
		NewWants: []Want{}, RemovedWants: []Want{}, Changed: []Change{}}
	for i := range now.Hooks {
		h := &now.Hooks[i]
		was := hookOf(old, h.Hook)
		if was == nil {
			d.NewHooks = append(d.NewHooks, h.Hook)
			continue
		}
		d.Widened = append(d.Widened, wider(h, was)...)
		d.Narrowed = append(d.Narrowed, wider(was, h)...)
	}
	for i := range old.Hooks {
		if hookOf(now, old.Hooks[i].Hook) == nil {
			d.RemovedHooks = append(d.RemovedHooks, old.Hooks[i].Hook)
		}
	}
	d.manifests(old.Manifest, now.Manifest)
	d.values(old, now)
	d.cases(old, now)
	return d
}

func hookOf(p *Page, name string) *Hook {
	i := slices.IndexFunc(p.Hooks, func(h Hook) bool { return h.Hook == name })
	if i < 0 {
		return nil
	}
	return &p.Hooks[i]
}

// missing is the powers of list that of has not.
func missing(list, of []Power) []Power {
	left := []Power{}
	for _, p := range list {
		if !slices.ContainsFunc(of, func(q Power) bool { return q.Power == p.Power }) {
			left = append(left, p)
		}
	}
	return left
}

// wider is what h is shown and than is not.
func wider(h, than *Hook) (list []string) {
	if h.Mask == nil || than.Mask == nil {
		return nil
	}
	add := func(format string, args ...any) { list = append(list, h.Hook+": "+fmt.Sprintf(format, args...)) }
	a, b := h.Mask, than.Mask
	for _, f := range [...]struct {
		what, label string
		names, than []string
	}{
		{"headers", "headers", a.Headers, b.Headers}, {"query_params", "query parameters", a.QueryParams, b.QueryParams},
		{"response_headers", "response headers", a.ResponseHeaders, b.ResponseHeaders},
	} {
		has, had := slices.Contains(a.Fields, f.what), slices.Contains(b.Fields, f.what)
		switch {
		case has && f.names == nil && !(had && f.than == nil):
			add("all %s", f.label)
		case has && f.names != nil && !(had && f.than == nil):
			if names := slices.DeleteFunc(slices.Clone(f.names), func(n string) bool { return had && slices.Contains(f.than, n) }); len(names) > 0 {
				add("%s %s", f.label, strings.Join(names, ", "))
			}
		}
	}
	for _, name := range a.Fields {
		f, _ := abi.FieldByName(name)
		if !slices.Contains([]string{"headers", "query_params", "response_headers", "body", "body_truncated", "response_body", "response_body_truncated"}, name) &&
			!slices.Contains(b.Fields, name) {
			add("%s", wordsOf(f))
		}
	}
	for _, body := range [...]struct {
		what    string
		is, was Body
	}{{"body", a.Body, b.Body}, {"response body", a.ResponseBody, b.ResponseBody}} {
		if rank(body.is) > rank(body.was) || body.is.Max > body.was.Max {
			add("%s %s, was %s", body.what, body.is, body.was)
		}
	}
	return list
}

func rank(b Body) int { return slices.Index([]string{"none", "prefix", "full"}, b.Mode) }

// String is the body mode in words.
func (b Body) String() string {
	switch b.Mode {
	case "prefix":
		return "its first " + strconv.Itoa(b.Max) + " bytes"
	case "full":
		return "whole, of up to " + strconv.Itoa(b.Max) + " bytes"
	}
	return b.Mode
}

func (d *Diff) change(what, old, now string) {
	if old != now {
		d.Changed = append(d.Changed, Change{what, old, now})
	}
}

func (d *Diff) manifests(old, now *Manifest) {
	text := func(m *Manifest, value func() string) string {
		if m == nil {
			return ""
		}
		return value()
	}
	field := func(what string, value func(*Manifest) string) {
		d.change(what, text(old, func() string { return value(old) }), text(now, func() string { return value(now) }))
	}
	field("id", func(m *Manifest) string { return m.ID })
	field("version", func(m *Manifest) string { return m.Version })
	field("description", func(m *Manifest) string { return m.Description })
	field("config schema", func(m *Manifest) string { return yes(m.ConfigSchema) })
	wants := func(m *Manifest) []Want {
		if m == nil {
			return nil
		}
		return m.Wants
	}
	without := func(list, of []Want) []Want {
		left := []Want{}
		for _, w := range list {
			if !slices.ContainsFunc(of, func(v Want) bool { return v.Capability == w.Capability }) {
				left = append(left, w)
			}
		}
		return left
	}
	d.NewWants, d.RemovedWants = without(wants(now), wants(old)), without(wants(old), wants(now))
	for _, w := range wants(now) {
		for _, v := range wants(old) {
			if v.Capability == w.Capability {
				d.change("reason for "+w.Capability, v.Reason, w.Reason)
			}
		}
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (d *Diff) values(old, now *Page) {
	number := func(what string, a, b int) { d.change(what, strconv.Itoa(a), strconv.Itoa(b)) }
	d.change("interface", old.ABI, now.ABI)
	d.change("refused", old.Refused, now.Refused)
	number("size", old.Size, now.Size)
	number("memory at the start", int(old.Memory.Min), int(now.Memory.Min))
	d.change("memory at most", limitText(old.Memory.Max), limitText(now.Memory.Max))
	number("stack of uncounted calls", old.Stack.Frames, now.Stack.Frames)
	d.change("recursion", yes(old.Stack.Recursive), yes(now.Stack.Recursive))
	number("functions", old.Code.Functions, now.Code.Functions)
	number("bytes of code", old.Code.CodeBytes, now.Code.CodeBytes)
	number("bytes of data", old.Code.DataBytes, now.Code.DataBytes)
	number("bytes of custom sections", old.Code.CustomBytes, now.Code.CustomBytes)
	d.change("start function", yes(old.Code.StartFunction), yes(now.Code.StartFunction))
	d.change("WASI shims", strings.Join(old.Shims, " "), strings.Join(now.Shims, " "))
}

func limitText(n *int64) string {
	if n == nil {
		return "no limit of its own"
	}
	return strconv.FormatInt(*n, 10)
}

// cases compares what the same cases cost.
func (d *Diff) cases(old, now *Page) {
	for _, c := range now.Cases {
		for _, b := range old.Cases {
			if b.File == c.File && b.Name == c.Name {
				d.change("case "+c.Name, outcome(&b), outcome(&c))
			}
		}
	}
}

func outcome(c *Case) string {
	if !c.OK {
		return "fails"
	}
	return strconv.FormatUint(c.Fuel, 10) + " fuel"
}
