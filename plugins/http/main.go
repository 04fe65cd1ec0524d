package main

import (
	"strconv"
	"strings"

	"github.com/wasmgate/wasmgate/plugins/internal/config"
	"github.com/wasmgate/wasmgate/plugins/internal/mapping"
	"github.com/wasmgate/wasmgate/plugins/internal/selected"
	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/configure"
	"github.com/wasmgate/wasmgate/sdk/go/integrate"
	"github.com/wasmgate/wasmgate/sdk/go/mapresponse"
)

func init() {
	var memo mapping.Memo[*integration]
	configure.Handle(func(c configure.Config) (configure.Result, error) {
		memo = mapping.Memo[*integration]{}
		return configure.Result{Identity: []string{"header.content-type"}}, config.Parse("config", string(c.Bytes)).Err()
	})
	integrate.Handle(func(r *integrate.Request) integrate.Result {
		if r.Integration() == nil {
			return integrate.Result{}.ForRoute()
		}
		return memo.Of(r.Integration(), decode).call(r)
	})
	mapresponse.Handle(func(r *mapresponse.Request) mapresponse.Result {
		if r.Integration() == nil {
			return mapresponse.Result{}.ForRoute()
		}
		return memo.Of(r.Integration(), decode).response(r)
	})
}

func main() {}

// call plans the call. It is static where the host can join all of it from selectors.
func (i *integration) call(r *integrate.Request) integrate.Result {
	switch {
	case i.other:
		return integrate.Result{}.ForRoute()
	case i.err != nil:
		return refuse(500, i.err.Error()).ForRoute()
	}
	url, ok := i.url.value(r)
	if !ok {
		return refuse(400, "a value for the path is empty or made of dots")
	}
	result := integrate.Call(url)
	result.Timeout, result.Insecure = wasmgate.Duration(i.timeout), i.insecure
	if i.method != "" {
		result.Method = wasmgate.Text(i.method)
	}
	if i.authority != nil {
		result.Authority = i.authority.Value()
	}
	if !i.proxy {
		if refusal, ok := i.custom(r, &result); !ok {
			return refusal
		}
	}
	for _, h := range i.headers {
		result.Edits = append(result.Edits, wasmgate.SetHeader(h.name, h.value.Value()))
	}
	if !i.proxy { // after the headers, which may read it; what follows is added to the URL's own
		result.Edits = append(result.Edits, wasmgate.SetRawQuery(wasmgate.Text("")))
	}
	for _, q := range i.query {
		result.Edits = append(result.Edits, i.addQuery(r, q)...)
	}
	switch {
	case !i.static:
		return result
	case i.byContentType():
		return result.ForIdentityOnRoute(24 * wasmgate.Hour)
	}
	return result.ForRoute()
}

// addQuery adds one parameter of the query, or each value of a repeated one. Type http
// empties the request's query first, so what comes from there is read here; one that the
// request does not have is left out.
func (i *integration) addQuery(r *integrate.Request, q parameter) (edits []wasmgate.Edit) {
	name := q.multi
	if name == "" {
		var single bool
		if name, single = fromQuery(q.value); i.proxy || !single {
			return []wasmgate.Edit{wasmgate.AddQuery(q.name, q.value.Value())}
		}
	}
	for value := range r.QueryParams().Values(name) {
		edits = append(edits, wasmgate.AddQuery(q.name, wasmgate.Text(value)))
		if q.multi == "" {
			break
		}
	}
	return edits
}

// refuse is a deny in a hook that has none of its own status.
func refuse(status int, reason string) integrate.Result {
	return integrate.Result{Decision: wasmgate.Deny, Answer: wasmgate.Answer{Status: status}, Reason: reason}
}

// byContentType tells whether the plan depends on the request's content type.
func (i *integration) byContentType() bool {
	return len(i.templates) > 0 || i.passthrough != ""
}

// custom is what type http adds: nothing of the request goes out but what is mapped, and
// the upstream learns who asks. The body is mapped by a template or goes out as it came.
func (i *integration) custom(r *integrate.Request, result *integrate.Result) (refusal integrate.Result, ok bool) {
	result.NoHeaders = true
	result.Edits = append(result.Edits,
		wasmgate.SetHeader("accept", wasmgate.Text("application/json")),
		wasmgate.SetHeader("user-agent", wasmgate.Concat(wasmgate.Text("AmazonAPIGateway_"), wasmgate.Select("api_id"))),
		wasmgate.SetHeader("x-amzn-apigateway-api-id", wasmgate.Select("api_id")))
	text, choice := mapping.Pick(i.templates, r.Header("content-type"), i.passthrough)
	switch {
	case choice == mapping.Unsupported:
		return refuse(415, "no request template for this content type").ForIdentityOnRoute(wasmgate.Hour), false
	case choice == mapping.Mapped && !mapping.IsBody(text):
		result.Edits = append(result.Edits, wasmgate.SetHeader("content-type", wasmgate.Text("application/json")),
			wasmgate.SetBody(wasmgate.Text(text)))
	case choice == mapping.Mapped:
		result.Edits = append(result.Edits, wasmgate.SetHeader("content-type", wasmgate.Text("application/json")))
	case !strings.HasPrefix(r.Route(), "GET ") && !strings.HasPrefix(r.Route(), "HEAD ") && !strings.HasPrefix(r.Route(), "DELETE "):
		result.Edits = append(result.Edits, wasmgate.SetHeader("content-type", wasmgate.Select("header.content-type")))
	}
	return refusal, true
}

// response maps the answer of an upstream for type http: the entry of responses whose
// pattern the status matches says the status, and the headers are those it maps.
func (i *integration) response(r *mapresponse.Request) mapresponse.Result {
	switch {
	case i.other || i.proxy || i.err != nil:
		return mapresponse.Result{}.ForRoute()
	case r.ErrorType() != "": // the gateway's own answer
		return mapresponse.Result{}
	case r.IntegrationStatus() == 0 && r.Method() != "GET" && r.Method() != "HEAD":
		return mapresponse.Result{} // a hook replied; what the cache answers is a GET or HEAD
	}
	var edits []wasmgate.Edit
	for name := range r.ResponseHeaders().All {
		switch name {
		case "content-encoding", "age", "cache-status": // of the body that goes on, and of our cache
		default:
			edits = append(edits, wasmgate.RemoveHeader(name))
		}
	}
	a := i.responses.For(strconv.Itoa(r.Status()))
	if a == nil {
		return mapresponse.Change(append(edits, unmatched()...)...).Because("no entry of responses matches the upstream's status")
	}
	edits = append(edits, wasmgate.SetStatus(wasmgate.Text(strconv.Itoa(a.Status))))
	text, kind, found := mapping.PickResponse(a.Templates, r.Header("accept"))
	edits = append(edits, set("content-type", kind))
	for _, h := range a.Headers {
		if value := selected.Join(r, h.Value); value != "" {
			edits = append(edits, set(h.Name, value))
		}
	}
	if found && !mapping.IsBody(text) {
		edits = append(edits, wasmgate.SetBody(wasmgate.Text(text)))
	}
	return mapresponse.Change(edits...)
}

// unmatched is Amazon's answer when no integration response is configured for a status.
func unmatched() []wasmgate.Edit {
	return []wasmgate.Edit{
		wasmgate.SetStatus(wasmgate.Text("500")),
		set("content-type", "application/json"),
		set("x-amzn-errortype", "InternalServerErrorException"),
		wasmgate.SetBody(wasmgate.Text(`{"message":"Internal server error"}`)),
	}
}

func set(name, value string) wasmgate.Edit { return wasmgate.SetHeader(name, wasmgate.Text(value)) }
