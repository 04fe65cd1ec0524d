package template

import (
	"strconv"
	"strings"

	"github.com/wasmgate/wasmgate/plugins/internal/field"
	"github.com/wasmgate/wasmgate/sdk/go"
)

// Phase is when a template is read.
type Phase uint8

// The phases.
const (
	Request  Phase = iota
	Response       // the response's status and headers are known too
)

// Part is a literal, or a selector when Selector is not empty.
type Part struct{ Literal, Selector string }

// Template is parts to be joined.
type Template []Part

// Literal is the template of one fixed text.
func Literal(text string) Template { return Template{{Literal: text}} }

// Select is the template of one selector.
func Select(selector string) Template { return Template{{Selector: selector}} }

// Constant is the text of a template without selectors.
func (t Template) Constant() (text string, ok bool) {
	for _, p := range t {
		if p.Selector != "" {
			return "", false
		}
		text += p.Literal
	}
	return text, true
}

// Value is the template as the host takes it.
func (t Template) Value() wasmgate.Value {
	parts := make([]wasmgate.Value, len(t))
	for i, p := range t {
		if p.Selector != "" {
			parts[i] = wasmgate.Select(p.Selector)
		} else {
			parts[i] = wasmgate.Text(p.Literal)
		}
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return wasmgate.Concat(parts...)
}

// maxParts is the ABI's max_value_parts.
const maxParts = 64

// Parse reads text; $${ stands for the two characters ${ themselves. fault is empty when it is valid.
func Parse(text string, phase Phase) (t Template, fault string) {
	literal := ""
	for text != "" {
		i := strings.IndexByte(text, '$')
		if i < 0 {
			break
		}
		literal, text = literal+text[:i], text[i:]
		switch {
		case strings.HasPrefix(text, "$${"):
			literal, text = literal+"${", text[3:]
		case strings.HasPrefix(text, "${"):
			end := strings.IndexByte(text, '}')
			if end < 0 {
				return nil, "${ without }"
			}
			selector, fault := Selector(text[2:end], phase)
			if fault != "" {
				return nil, fault
			}
			if literal != "" {
				t = append(t, Part{Literal: literal})
			}
			t = append(t, Part{Selector: selector})
			literal, text = "", text[end+1:]
		default:
			literal, text = literal+"$", text[1:]
		}
	}
	if literal += text; literal != "" {
		t = append(t, Part{Literal: literal})
	}
	if len(t) > maxParts {
		return nil, "more than " + strconv.Itoa(maxParts) + " parts"
	}
	return t, ""
}

// maxSelector is the ABI's max_selector_bytes.
const maxSelector = 256

// Selector checks a selector, such as header.x-api-key or source_ip, and gives it as the
// host wants it, header names in lower case. fault is empty when it is valid.
func Selector(s string, phase Phase) (selector, fault string) {
	name, arg, dotted := strings.Cut(s, ".")
	takes, known := takesArgument(name)
	switch {
	case !known:
		return "", "unknown selector " + strconv.Quote(s)
	case takes && arg == "":
		return "", "selector " + strconv.Quote(s) + " wants a name: " + name + ".NAME"
	case !takes && dotted:
		return "", "selector " + strconv.Quote(s) + " takes no name"
	case phase == Request && (name == "status" || name == "response_header"):
		return "", "selector " + strconv.Quote(s) + " is known only in the response"
	case len(s) > maxSelector:
		return "", "selector " + strconv.Quote(s) + " is longer than " + strconv.Itoa(maxSelector) + " bytes"
	}
	if name == "header" || name == "response_header" {
		lower, fault := field.Name(arg)
		if fault != "" {
			return "", fault
		}
		return name + "." + lower, ""
	}
	return s, ""
}

// takesArgument tells whether a selector is written name.ARGUMENT, and whether it is known.
func takesArgument(name string) (takes, known bool) {
	switch name {
	case "header", "param", "path_param", "stage_variable", "context", "cookie", "response_header":
		return true, true
	case "method", "authority", "path", "query", "source_ip", "source_network", "principal", "api_key_id", "usage_plan_id",
		"caller", "api_id", "stage", "route", "request_id", "status":
		return false, true
	}
	return false, false
}
