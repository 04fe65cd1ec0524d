package main

import "strings"

// assemblyScriptCode is the AssemblyScript SDK's constants and imports.
func (s *source) assemblyScriptCode() string {
	var c code
	c.WriteString(notice + "// Numbers of the contract.\n\n")
	for _, l := range s.constants() {
		c.line("export const %s: u32 = %d;", strings.ToUpper(l.Name), l.Value)
	}
	for _, e := range s.enums() {
		c.line("\n/** %s */\nexport const enum %s {", e.doc, camel(e.name))
		for _, v := range e.entries {
			c.line("  /** %s */\n  %s = %d,", v.Doc, camel(v.Name), v.ID)
		}
		c.line("}")
	}
	c.line("\n// The capabilities. The compiler imports those that are called.")
	for _, p := range s.Capabilities {
		params, result := []string{}, "void"
		for i, a := range p.Args {
			params = append(params, a+": "+assemblyScriptType(p.Params[i], a))
		}
		if len(p.Results) > 0 {
			result = p.Results[0]
		}
		c.line("\n/** The guest %s. */\n// @ts-ignore: decorator\n@external(%q, %q)\nexport declare function import_%s_%s(%s): %s;",
			p.Power, p.Module, p.Name, p.module(), p.Name, strings.Join(params, ", "), result)
	}
	return c.String()
}

// assemblyScriptType is the type of an argument: its name tells pointers and lengths.
func assemblyScriptType(typ, arg string) string {
	switch {
	case strings.HasSuffix(arg, "ptr"):
		return "usize"
	case strings.HasSuffix(arg, "len"), strings.HasSuffix(arg, "cap"):
		return "u32"
	}
	return typ
}
