package mapping

import (
	"strconv"
	"strings"

	"github.com/wasmgate/wasmgate/plugins/internal/config"
	"github.com/wasmgate/wasmgate/plugins/internal/field"
	"github.com/wasmgate/wasmgate/plugins/internal/pattern"
	"github.com/wasmgate/wasmgate/plugins/internal/template"
)

// Answer is one entry of an integration's responses.
type Answer struct {
	Status    int
	Headers   []Header
	Templates []config.Pair
	match     *pattern.Pattern // nil for default
}

// Header is a header that the answer gets.
type Header struct {
	Name  string
	Value template.Template
}

// Responses are the entries that a status is matched against, in order, default last.
type Responses []Answer

// For is the answer for an integration's status; nil when there is none.
func (all Responses) For(status string) *Answer {
	for i := range all {
		if all[i].match == nil || all[i].match.Match(status) {
			return &all[i]
		}
	}
	return nil
}

// ReadResponses reads the member responses of an integration and notes its faults there.
func ReadResponses(integration *config.Object) (all Responses) {
	var missing *Answer
	for key, o := range integration.Object("responses").Each {
		a := Answer{Templates: o.Pairs("response_templates")}
		status := o.Required("status_code")
		var err error
		if a.Status, err = strconv.Atoi(status); len(status) != 3 || err != nil || a.Status < 200 || a.Status > 599 {
			o.Fail("status_code", "got "+strconv.Quote(status)+", want 200 to 599")
		}
		for _, p := range o.Pairs("response_parameters") {
			h, fault := readHeader(p)
			if fault != "" {
				o.Fail("response_parameters", fault)
			}
			a.Headers = append(a.Headers, h)
		}
		for _, t := range a.Templates {
			if IsVelocity(t.Value) && !IsBody(t.Value) {
				o.Fail("response_templates", t.Name+": templates in Velocity are not supported")
			}
		}
		if key == "default" || key == "" {
			missing = &a
			continue
		}
		var fault string
		if a.match, fault = pattern.Compile(key); fault != "" {
			integration.Fail("responses", "pattern "+strconv.Quote(key)+": "+fault)
		}
		all = append(all, a)
	}
	if missing != nil {
		all = append(all, *missing)
	}
	return all
}

func readHeader(p config.Pair) (h Header, fault string) {
	name, ok := strings.CutPrefix(p.Name, "method.response.header.")
	if !ok {
		return h, "got " + strconv.Quote(p.Name) + ", want method.response.header.NAME"
	}
	if h.Name, fault = field.Settable(name); fault != "" {
		return h, fault
	}
	if h.Value, fault = Response(p.Value); fault != "" {
		return h, name + ": " + fault
	}
	if text, ok := h.Value.Constant(); ok {
		fault = field.Value(text)
	}
	return h, fault
}
