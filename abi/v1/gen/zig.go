package main

import (
	"go/token"
	"strings"
)

// zigCode is the Zig SDK's constants and imports.
func (s *source) zigCode() string {
	var c code
	c.WriteString("//! Numbers of the contract.\n" + notice)
	for _, l := range s.constants() {
		c.line("pub const %s = %d;", l.Name, l.Value)
	}
	for _, e := range s.enums() {
		typ := map[string]string{"decision": "u64", "scope": "u64", "call": "u64", "status": "i32"}[e.name]
		if typ == "" {
			typ = "u16"
		}
		c.line("\n/// %s\npub const %s = enum(%s) {", e.doc, camel(e.name), typ)
		for _, v := range e.entries {
			c.line("    /// %s\n    %s = %d,", v.Doc, zigName(v.Name), v.ID)
		}
		c.line("    _,\n};")
	}
	c.line("\n/// The capabilities. The compiler imports those that are called.\npub const import = struct {")
	last := ""
	for _, p := range s.Capabilities {
		if p.module() != last {
			if last != "" {
				c.line("    };")
			}
			last = p.module()
			c.line("    pub const %s = struct {", last)
		}
		params, result := []string{}, "void"
		for i, a := range p.Args {
			params = append(params, a+": "+zigType(p.Params[i], a))
		}
		if len(p.Results) > 0 {
			result = p.Results[0]
		}
		c.line("        /// The guest %s.\n        pub extern %q fn %s(%s) %s;", p.Power, p.Module, p.Name, strings.Join(params, ", "), result)
	}
	c.line("    };\n};")
	return c.String()
}

// zigName writes a name that is a keyword as Zig does. Those of the contract that Zig
// keeps for itself are Go's too, but for error.
func zigName(name string) string {
	if token.IsKeyword(name) || name == "error" {
		return `@"` + name + `"`
	}
	return name
}

// zigType is the type of an argument: its name tells pointers and lengths.
func zigType(typ, arg string) string {
	switch {
	case strings.HasSuffix(arg, "ptr") && strings.HasPrefix(arg, "out"):
		return "[*]u8"
	case strings.HasSuffix(arg, "ptr"):
		return "[*]const u8"
	case strings.HasSuffix(arg, "len"), strings.HasSuffix(arg, "cap"):
		return "usize"
	}
	return typ
}
