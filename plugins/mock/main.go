package main

import (
	"math"
	"strconv"
	"strings"

	"github.com/wasmgate/wasmgate/plugins/internal/config"
	"github.com/wasmgate/wasmgate/plugins/internal/json"
	"github.com/wasmgate/wasmgate/plugins/internal/mapping"
	"github.com/wasmgate/wasmgate/plugins/internal/selected"
	"github.com/wasmgate/wasmgate/plugins/internal/template"
	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/configure"
	"github.com/wasmgate/wasmgate/sdk/go/integrate"
)

func init() {
	var memo mapping.Memo[*integration]
	configure.Handle(func(c configure.Config) (configure.Result, error) {
		memo = mapping.Memo[*integration]{}
		return configure.Result{Identity: []string{"header.content-type", "header.accept"}},
			config.Parse("config", string(c.Bytes)).Err()
	})
	integrate.Handle(func(r *integrate.Request) integrate.Result {
		if r.Integration() == nil {
			return integrate.Result{}.ForRoute()
		}
		return memo.Of(r.Integration(), decode).answer(r)
	})
}

func main() {}

// integration is a route's integration of type mock, decoded.
type integration struct {
	other       bool // of another type: not for this plugin
	templates   []config.Pair
	passthrough string
	responses   mapping.Responses
	static      bool // no header takes a value from the request
	err         error
}

// decode reads an integration, whatever its type.
func decode(text string) *integration {
	c := config.Parse("integration", text)
	if c.Required("type") != "mock" {
		return &integration{other: true}
	}
	i := &integration{
		templates:   c.Pairs("request_templates"),
		passthrough: c.String("passthrough_behavior", ""),
		responses:   mapping.ReadResponses(c),
		static:      true,
	}
	for _, ignored := range [...]string{"uri", "http_method", "timeout_ms", "request_parameters", "insecure_skip_verification"} {
		c.Value(ignored) // Amazon's console leaves them there
	}
	for _, t := range i.templates {
		if mapping.IsVelocity(t.Value) {
			c.Fail("request_templates", t.Name+": templates in Velocity are not supported")
		}
	}
	for _, a := range i.responses {
		for _, h := range a.Headers {
			i.static = i.static && constant(h.Value)
		}
	}
	i.err = c.Err()
	return i
}

// constant tells whether a template is the same for every request of a route.
func constant(t template.Template) bool {
	for _, p := range t {
		switch {
		case p.Selector == "", p.Selector == "api_id", p.Selector == "stage", strings.HasPrefix(p.Selector, "stage_variable."):
		default:
			return false
		}
	}
	return true
}

// answer replies as the template for the request's content type says.
func (i *integration) answer(r *integrate.Request) integrate.Result {
	switch {
	case i.other:
		return integrate.Result{}.ForRoute()
	case i.err != nil:
		return refuse(500, i.err.Error()).ForRoute()
	}
	result := i.reply(r)
	if i.static {
		result = result.ForIdentityOnRoute(24 * wasmgate.Hour)
	}
	return result
}

func (i *integration) reply(r *integrate.Request) integrate.Result {
	text, choice := mapping.Pick(i.templates, r.Header("content-type"), i.passthrough)
	switch choice {
	case mapping.Unsupported:
		return refuse(415, "no request template for this content type")
	case mapping.PassThrough: // the client's body would choose the status
		return refuse(500, "no request template for this content type says a statusCode")
	}
	status, ok := statusCode(text)
	if !ok {
		return refuse(500, "the request template gives no object with a whole number as statusCode")
	}
	a := i.responses.For(strconv.Itoa(status))
	if a == nil {
		return refuse(500, "no entry of responses matches status "+strconv.Itoa(status))
	}
	body, kind, found := mapping.PickResponse(a.Templates, r.Header("accept"))
	headers := []wasmgate.Pair{{Name: "content-type", Value: kind}}
	for _, h := range a.Headers {
		value := selected.Join(r, h.Value)
		switch {
		case h.Name == "content-type":
			headers[0].Value = value
		case value != "": // a mock has no integration response to take headers from
			headers = append(headers, wasmgate.Pair{Name: h.Name, Value: value})
		}
	}
	answer := wasmgate.Answer{Status: a.Status, Headers: headers}
	if found && !mapping.IsBody(body) {
		answer.Body = []byte(body)
	}
	return integrate.Reply(answer)
}

// statusCode is the member statusCode of a template's object; lax JSON such as
// {statusCode: 200} will do, as it does for Amazon.
func statusCode(text string) (status int, ok bool) {
	v, err := json.ParseLax(text)
	if err != nil {
		return 0, false
	}
	code := v.Get("statusCode")
	f, ok := code.Float()
	return int(f), ok && f == math.Trunc(f) && f >= 100 && f <= 599
}

func refuse(status int, reason string) integrate.Result {
	return integrate.Result{Decision: wasmgate.Deny, Answer: wasmgate.Answer{Status: status}, Reason: reason}
}
