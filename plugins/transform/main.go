package main

import (
	"slices"
	"strconv"

	"github.com/wasmgate/wasmgate/plugins/internal/json"
	"github.com/wasmgate/wasmgate/plugins/internal/selected"
	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/configure"
	"github.com/wasmgate/wasmgate/sdk/go/maprequest"
	"github.com/wasmgate/wasmgate/sdk/go/mapresponse"
)

// maxBody is the manifest's body maximum.
const maxBody = 512 << 10

func init() {
	wasmgate.SetScratch(maxBody + 256<<10)
	var p *policy
	configure.Handle(func(c configure.Config) (r configure.Result, err error) {
		if p, err = decode(string(c.Bytes)); err != nil {
			return r, err
		}
		if p.request.body.empty() {
			r.WithoutBody = append(r.WithoutBody, "map_request")
		}
		if p.response.body.empty() {
			r.WithoutBody = append(r.WithoutBody, "map_response")
		}
		return r, nil
	})
	maprequest.Handle(func(r *maprequest.Request) maprequest.Result { return p.mapRequest(r) })
	mapresponse.Handle(func(r *mapresponse.Request) mapresponse.Result { return p.mapResponse(r) })
}

func main() {}

// mapRequest is a static plan unless the body or an encoded path makes it the request's own.
func (p *policy) mapRequest(r *maprequest.Request) maprequest.Result {
	if p.path == nil && p.request.body.empty() {
		return maprequest.Change(p.request.edits...).ForRoute()
	}
	edits := slices.Clone(p.request.edits)
	if p.path != nil {
		path, ok := selected.Path(r, p.path)
		if !ok {
			return maprequest.Deny().Because("a value for the path is empty or made of dots")
		}
		edits = append(edits, wasmgate.SetPath(wasmgate.Text(path)))
	}
	if body := r.Body(); !p.request.body.empty() && len(body) > 0 {
		// A body that cannot be read cannot be changed, and must not go on unchanged: what
		// was to be removed could hide behind another content type or coding.
		if !isJSON(r.Header("content-type")) || r.Headers().Has("content-encoding") {
			return refuse(415, "the body is not plain JSON")
		}
		v, err := json.Parse(string(body))
		if err != nil {
			return refuse(400, err.Error())
		}
		p.request.body.apply(&v, r)
		edits = append(edits, wasmgate.SetBody(wasmgate.Text(string(v.Append(nil)))))
	}
	return maprequest.Change(edits...)
}

func refuse(status int, reason string) maprequest.Result {
	result := maprequest.Deny().Because(reason)
	result.Answer.Status = status
	return result
}

// mapResponse changes headers of every answer. The gateway's own errors keep their status
// and body: a refusal must not be dressed up as a success.
func (p *policy) mapResponse(r *mapresponse.Request) mapresponse.Result {
	result := mapresponse.Change(p.response.edits...)
	switch {
	case p.status == 0 && p.response.body.empty():
		return result.ForRoute()
	case r.ErrorType() != "":
		return result
	}
	result.Edits = slices.Clone(result.Edits)
	if p.status != 0 {
		result.Edits = append(result.Edits, wasmgate.SetStatus(wasmgate.Text(strconv.Itoa(p.status))))
	}
	if p.response.body.empty() {
		return result
	}
	body, h := r.ResponseBody(), r.ResponseHeaders()
	if len(body) == 0 || !isJSON(h.Get("content-type")) || h.Has("content-encoding") {
		return result.Because("the response's body is not plain JSON") // an error page, say: it stays
	}
	v, err := json.Parse(string(body))
	if err != nil {
		return result.Because("the response's body: " + err.Error())
	}
	p.response.body.apply(&v, r)
	result.Edits = append(result.Edits, wasmgate.SetBody(wasmgate.Text(string(v.Append(nil)))))
	return result
}
