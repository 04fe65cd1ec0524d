package main

import "strings"

// rustCode is the Rust SDK's constants and imports.
func (s *source) rustCode() string {
	var c code
	c.WriteString(notice)
	c.line("//! Numbers of the contract.\n")
	for _, l := range s.constants() {
		c.line("pub const %s: u32 = %d;", strings.ToUpper(l.Name), l.Value)
	}
	for _, e := range s.enums() {
		typ := map[string]string{"decision": "u64", "scope": "u64", "call": "u64", "status": "i32"}[e.name]
		if typ == "" {
			typ = "u16"
		}
		module := map[string]string{"type": "kind"}[e.name]
		if module == "" {
			module = e.name
		}
		c.line("\n/// %s\npub mod %s {", e.doc, module)
		for _, v := range e.entries {
			c.line("    /// %s\n    pub const %s: %s = %d;", v.Doc, strings.ToUpper(v.Name), typ, v.ID)
		}
		c.line("}")
	}
	c.line("\n/// The capabilities. The linker imports those that are called.\n#[cfg(target_arch = \"wasm32\")]\npub mod import {")
	for _, p := range s.Capabilities {
		params, result := []string{}, ""
		for i, a := range p.Args {
			params = append(params, a+": "+rustType(p.Params[i], a))
		}
		if len(p.Results) > 0 {
			result = " -> " + p.Results[0]
		}
		c.line("    #[link(wasm_import_module = %q)]\n    extern \"C\" {\n        /// The guest %s.\n        #[link_name = %q]\n        pub fn %s_%s(%s)%s;\n    }",
			p.Module, p.Power, p.Name, p.module(), p.Name, strings.Join(params, ", "), result)
	}
	c.line("}")
	return c.String()
}

// rustType is the type of an argument: its name tells pointers and lengths.
func rustType(typ, arg string) string {
	switch {
	case strings.HasSuffix(arg, "ptr") && strings.HasPrefix(arg, "out"):
		return "*mut u8"
	case strings.HasSuffix(arg, "ptr"):
		return "*const u8"
	case strings.HasSuffix(arg, "len"), strings.HasSuffix(arg, "cap"):
		return "usize"
	}
	return typ
}
