package main

import (
	"strconv"
	"strings"

	"github.com/wasmgate/wasmgate/plugins/internal/config"
	"github.com/wasmgate/wasmgate/plugins/internal/field"
	"github.com/wasmgate/wasmgate/plugins/internal/mapping"
	"github.com/wasmgate/wasmgate/plugins/internal/template"
)

// integration is a route's integration of type http_proxy or http, decoded.
type integration struct {
	other       bool // of another type: not for this plugin
	proxy       bool // http_proxy
	url         upstreamURL
	method      string // empty is the client's
	timeout     uint64 // milliseconds; 0 is the host's default
	insecure    bool
	authority   template.Template // nil is the URL's
	headers     []parameter
	query       []parameter
	templates   []config.Pair
	passthrough string
	responses   mapping.Responses
	static      bool // one plan serves every request of one content type
	err         error
}

// parameter is one of request_parameters.
type parameter struct {
	name  string
	value template.Template
	multi string // query parameter of which all values are meant, in value's place
}

// decode reads an integration, whatever its type.
func decode(text string) *integration {
	c := config.Parse("integration", text)
	kind := c.Required("type")
	if kind != "http_proxy" && kind != "http" {
		return &integration{other: true}
	}
	i := &integration{
		proxy:       kind == "http_proxy",
		method:      strings.ToUpper(c.String("http_method", "")),
		timeout:     uint64(c.Int("timeout_ms", 0, 0, 900000)),
		insecure:    c.Bool("insecure_skip_verification"),
		templates:   c.Pairs("request_templates"),
		passthrough: c.String("passthrough_behavior", ""),
	}
	if i.method == "ANY" {
		i.method = ""
	}
	if i.method != "" && !field.IsToken(i.method) {
		c.Fail("http_method", "got "+strconv.Quote(i.method)+", want a method")
	}
	i.url = readURL(c, i.parameters(c))
	i.responses = mapping.ReadResponses(c)
	if i.proxy { // Amazon's console leaves them there, and its gateway does not look
		i.templates, i.passthrough = nil, ""
	}
	for _, t := range i.templates {
		if mapping.IsVelocity(t.Value) && !mapping.IsBody(t.Value) {
			c.Fail("request_templates", t.Name+": templates in Velocity are not supported")
		}
	}
	i.static, i.err = i.isStatic(), c.Err()
	return i
}

// parameters reads request_parameters and gives those for the path.
func (i *integration) parameters(c *config.Object) map[string]template.Template {
	paths := map[string]template.Template{}
	for _, p := range c.Pairs("request_parameters") {
		fail := func(fault string) { c.FailAt(c.Path("request_parameters")+"."+p.Name, fault) }
		rest, ok := strings.CutPrefix(p.Name, "integration.request.")
		place, name, _ := strings.Cut(rest, ".")
		value, multi, fault := mapping.Request(p.Value)
		switch {
		case fault != "":
			fail(fault)
		case !ok || name == "" || place != "header" && place != "querystring" && place != "path":
			fail("want integration.request.header.NAME, querystring.NAME or path.NAME")
		case multi != "" && place != "querystring":
			fail("all values of a parameter go into a querystring alone")
		case place == "path":
			paths[name] = value
		case place == "querystring":
			if !i.proxy || len(value) != 1 || value[0].Selector != "param."+name { // it is there already
				i.query = append(i.query, parameter{name, value, multi})
			}
		default:
			if fault := i.header(name, value); fault != "" {
				fail(fault)
			}
		}
	}
	return paths
}

func (i *integration) header(name string, value template.Template) (fault string) {
	lower, fault := field.Name(name)
	if fault != "" {
		return fault
	}
	switch lower {
	case "host":
		i.authority = value
		return ""
	case "x-amzn-trace-id", "x-amzn-apigateway-api-id":
		return "header " + lower + " is the gateway's own"
	}
	if _, fault := field.Settable(lower); fault != "" {
		return fault
	}
	if i.proxy && len(value) == 1 && value[0].Selector == "header."+lower {
		return "" // it is there already
	}
	if text, ok := value.Constant(); ok {
		if fault := field.Value(text); fault != "" {
			return fault
		}
	}
	i.headers = append(i.headers, parameter{name: lower, value: value})
	return ""
}

// isStatic tells whether one plan serves every request of the route that has the same
// content type.
func (i *integration) isStatic() bool {
	for _, q := range i.query {
		if _, single := fromQuery(q.value); q.multi != "" || single && !i.proxy {
			return false
		}
	}
	return i.url.static
}

// fromQuery is the query parameter that a value is, if it is one.
func fromQuery(value template.Template) (name string, ok bool) {
	if len(value) != 1 {
		return "", false
	}
	return strings.CutPrefix(value[0].Selector, "param.")
}
