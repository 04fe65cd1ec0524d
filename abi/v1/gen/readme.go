package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// tables is the text between <!-- gen:NAME --> and <!-- /gen:NAME -->, by name.
func (s *source) tables() map[string]string {
	t := map[string]string{
		"header":         members(s.Record.Header),
		"entry":          members(s.Record.Entry),
		"types":          entries("type", s.Types),
		"decisions":      entries("decision", s.Decisions),
		"scopes":         entries("scope", s.Scopes),
		"ops":            entries("op", s.EditOps),
		"call_flags":     entries("flag", s.CallFlags),
		"body_modes":     entries("mode", s.BodyModes),
		"statuses":       entries("status", s.Statuses),
		"request_fields": s.fields(s.RequestFields),
		"result_fields":  s.fields(s.ResultFields),
	}
	var b strings.Builder
	b.WriteString("| id | hook | export | deny | what it decides |\n|---|---|---|---|---|\n")
	for _, h := range s.Hooks {
		deny := "-"
		if h.DenyStatus != 0 {
			deny = fmt.Sprint(h.DenyStatus)
		}
		fmt.Fprintf(&b, "| %d | `%s` | `%s` | %s | %s |\n", h.ID, h.Name, h.Export, deny, h.Doc)
	}
	t["hooks"] = b.String()
	b.Reset()
	b.WriteString("| selector | value |\n|---|---|\n")
	for _, e := range s.Selectors {
		name := e.Name
		if e.Arg {
			name += ".NAME"
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, e.Doc)
	}
	t["selectors"] = b.String()
	b.Reset()
	b.WriteString("| limit | value |\n|---|---|\n")
	for _, l := range s.Limits {
		fmt.Fprintf(&b, "| `%s` | %d |\n", l.Name, l.Value)
	}
	t["limits"] = b.String()
	t["capabilities"] = s.capabilityList()
	return t
}

func (s *source) capabilityList() string {
	var b strings.Builder
	b.WriteString("| module | name | signature | grant | a plugin that imports it | details |\n|---|---|---|---|---|---|\n")
	for _, c := range s.Capabilities {
		var args []string
		for i, a := range c.Args {
			args = append(args, a+" "+c.Params[i])
		}
		grant := "always"
		if c.Grant != "" {
			grant = "`" + c.Grant + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | (%s) -> (%s) | %s | %s | %s |\n", c.Module, c.Name,
			strings.Join(args, ", "), strings.Join(c.Results, ", "), grant, c.Power, c.Doc)
	}
	return b.String()
}

func members(list []member) string {
	var b strings.Builder
	b.WriteString("| offset | type | name | value |\n|---|---|---|---|\n")
	for _, m := range list {
		fmt.Fprintf(&b, "| %d | %s | `%s` | %s |\n", m.Offset, m.Type, m.Name, m.Doc)
	}
	return b.String()
}

func entries(title string, list []named) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| id | %s | meaning |\n|---|---|---|\n", title)
	for _, e := range list {
		fmt.Fprintf(&b, "| %d | `%s` | %s |\n", e.ID, e.Name, e.Doc)
	}
	return b.String()
}

// fields names the hooks that have a field: a run of hooks as "first to last".
func (s *source) fields(list []field) string {
	var b strings.Builder
	b.WriteString("| id | field | type | hooks | meaning |\n|---|---|---|---|---|\n")
	for _, f := range list {
		fmt.Fprintf(&b, "| %d | `%s` | %s | %s | %s |\n", f.ID, f.Name, f.Type, s.hookList(f), f.Doc)
	}
	return b.String()
}

func (s *source) hookList(f field) string {
	if f.Hooks == nil {
		return "all but `configure`"
	}
	if len(f.Hooks) == 0 {
		return "-"
	}
	first := slices.IndexFunc(s.Hooks, func(h hook) bool { return h.Name == f.Hooks[0] })
	last := first + len(f.Hooks) - 1
	if len(f.Hooks) > 2 && last < len(s.Hooks) && s.Hooks[last].Name == f.Hooks[len(f.Hooks)-1] {
		return "`" + f.Hooks[0] + "` to `" + s.Hooks[last].Name + "`"
	}
	return "`" + strings.Join(f.Hooks, "`, `") + "`"
}

// replaceTables puts each table between its markers; every table must have a place.
func replaceTables(readme []byte, tables map[string]string) ([]byte, error) {
	for name, table := range tables {
		begin, end := []byte("<!-- gen:"+name+" -->\n"), []byte("<!-- /gen:"+name+" -->")
		i := bytes.Index(readme, begin)
		j := bytes.Index(readme, end)
		if i < 0 || j < i {
			return nil, fmt.Errorf("README.md has no markers gen:%s", name)
		}
		readme = slices.Concat(readme[:i+len(begin)], []byte(table), readme[j:])
	}
	return readme, nil
}
