package main

import (
	"fmt"
	"strings"
)

// cCode is the C SDK's constants and imports.
func (s *source) cCode() string {
	var c code
	c.WriteString(notice + "#ifndef WASMGATE_ABI_H\n#define WASMGATE_ABI_H\n\n#include <stdint.h>\n\n")
	c.line("// Numbers of the contract.\nenum {")
	for _, l := range s.constants() {
		c.line("\tWG_%s = %d,", strings.ToUpper(l.Name), l.Value)
	}
	c.line("};\n")
	for _, e := range s.enums() {
		c.line("// %s\nenum {", e.doc)
		for _, v := range e.entries {
			c.line("\t// %s\n\tWG_%s_%s = %d,", v.Doc, strings.ToUpper(e.name), strings.ToUpper(v.Name), v.ID)
		}
		c.line("};\n")
	}
	c.line("// The capabilities. The linker imports those that are called. A native build gives its own.\n#ifdef __wasm__\n" +
		"#define WG_IMPORT(module, name) __attribute__((import_module(module), import_name(name)))\n#else\n#define WG_IMPORT(module, name)\n#endif\n")
	types := map[string]string{"i32": "int32_t", "i64": "int64_t"}
	for _, p := range s.Capabilities {
		result, params := "void", []string{}
		if len(p.Results) > 0 {
			result = types[p.Results[0]]
		}
		for i, a := range p.Args {
			params = append(params, cType(p.Params[i], a)+a)
		}
		c.line("// The guest %s.\nWG_IMPORT(%q, %q)\n%s wg_import_%s_%s(%s);\n", p.Power, p.Module, p.Name, result, p.module(), p.Name, strings.Join(params, ", "))
	}
	c.line("#endif")
	return c.String()
}

// cType is the type of an argument: its name tells pointers and lengths.
func cType(typ, arg string) string {
	switch {
	case strings.HasSuffix(arg, "ptr") && strings.HasPrefix(arg, "out"):
		return "void *"
	case strings.HasSuffix(arg, "ptr"):
		return "const void *"
	case strings.HasSuffix(arg, "len"), strings.HasSuffix(arg, "cap"):
		return "uint32_t "
	}
	return fmt.Sprintf("int%s_t ", typ[1:])
}
