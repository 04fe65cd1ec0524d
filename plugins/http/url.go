package main

import (
	"strconv"
	"strings"

	"github.com/wasmgate/wasmgate/plugins/internal/config"
	"github.com/wasmgate/wasmgate/plugins/internal/field"
	"github.com/wasmgate/wasmgate/plugins/internal/selected"
	"github.com/wasmgate/wasmgate/plugins/internal/template"
	"github.com/wasmgate/wasmgate/sdk/go"
)

// upstreamURL is an integration's uri, taken apart.
type upstreamURL struct {
	parts []urlPart
	// static: the host can join it; otherwise a part must be escaped here for each request.
	static bool
}

type urlPart struct {
	template.Part
	escape escape
}

// escape is what keeps a value in its place.
type escape uint8

const (
	raw       escape = iota
	inSegment        // of a path
	inQuery          // a value that is percent-encoded already, beside & and =
)

// readURL reads uri. {name} is the path variable of that name or what paths maps it to,
// ${stageVariables.name} a stage variable.
func readURL(c *config.Object, paths map[string]template.Template) (u upstreamURL) {
	u.static = true
	before := "" // literal text up to here
	literal := func(s string) {
		before += s
		if s != "" {
			u.parts = append(u.parts, urlPart{Part: template.Part{Literal: s}})
		}
	}
	fail := func(fault string) upstreamURL {
		c.Fail("uri", fault)
		return u
	}
	uri := c.Required("uri")
	for uri != "" {
		open := strings.IndexByte(uri, '{')
		if open < 0 {
			literal(uri)
			break
		}
		name, rest, closed := strings.Cut(uri[open+1:], "}")
		if !closed {
			return fail("{ without }")
		}
		if open > 0 && uri[open-1] == '$' {
			literal(uri[:open-1])
			variable, ok := strings.CutPrefix(name, "stageVariables.")
			if !ok || variable == "" {
				return fail("got ${" + name + "}, want ${stageVariables.NAME}")
			}
			u.parts = append(u.parts, urlPart{Part: template.Part{Selector: "stage_variable." + variable}})
		} else {
			literal(uri[:open])
			if fault := u.variable(strings.TrimSuffix(name, "+"), before, paths); fault != "" {
				return fail(fault)
			}
		}
		uri = rest
	}
	if len(u.parts) > 0 && u.parts[0].Selector == "" && !strings.HasPrefix(before, "http://") && !strings.HasPrefix(before, "https://") {
		return fail("got " + strconv.Quote(before) + ", want http:// or https://")
	}
	return u
}

// variable appends a path variable that stands after the literal text before.
func (u *upstreamURL) variable(name, before string, paths map[string]template.Template) string {
	_, after, hasScheme := strings.Cut(before, "://")
	if !hasScheme { // a stage variable says scheme and host, or a scheme alone before //
		after = strings.TrimPrefix(before, "//")
	}
	if !strings.Contains(after, "/") {
		// The client would choose whom the gateway calls (SSRF).
		return "{" + name + "} stands where the host does"
	}
	source, mapped := paths[name]
	if !mapped {
		if !field.IsToken(name) {
			return "got {" + name + "}, want the name of a path variable"
		}
		source = template.Select("path_param." + name)
	}
	for _, p := range source {
		part := urlPart{Part: p}
		switch {
		case p.Selector == "", strings.HasPrefix(p.Selector, "stage_variable."):
		case strings.Contains(after, "?") && selected.PathSafe(p.Selector):
			part.escape = inQuery
		case !selected.PathSafe(p.Selector):
			part.escape = inSegment
		}
		u.static = u.static && part.escape == raw
		u.parts = append(u.parts, part)
	}
	return ""
}

// value is the URL as the host takes it; ok is false when a value of this request may not
// stand where it does.
func (u *upstreamURL) value(r *wasmgate.Request) (v wasmgate.Value, ok bool) {
	parts := make([]wasmgate.Value, 0, len(u.parts))
	for _, p := range u.parts {
		if p.Selector == "" || p.escape == raw {
			parts = append(parts, template.Template{p.Part}.Value())
			continue
		}
		text, _ := selected.Value(r, p.Selector)
		if p.escape == inQuery {
			parts = append(parts, wasmgate.Text(selected.EscapeAgain(text)))
			continue
		}
		if !selected.IsSegment(text) {
			return v, false
		}
		parts = append(parts, wasmgate.Text(selected.Escape(text)))
	}
	return wasmgate.Concat(parts...), true
}
