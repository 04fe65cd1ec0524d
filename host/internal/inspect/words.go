package inspect

import (
	"fmt"
	"strings"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// does says what a hook decides, for who does not know ours.
var does = map[abi.Hook]string{
	abi.HookConfigure:   "reads its policy's config when the policy is bound, and may refuse it",
	abi.HookGuard:       "may refuse or answer a request before its caller is known",
	abi.HookAuthorize:   "decides who the caller is and whether the request is allowed",
	abi.HookIdentify:    "says which API key a request carries",
	abi.HookThrottle:    "says which rate limits a request counts against",
	abi.HookMapRequest:  "may change, refuse or answer a request before it is sent on",
	abi.HookCacheKey:    "says under which key an answer is cached, and for how long",
	abi.HookIntegrate:   "says which upstream a request is sent to, or answers it",
	abi.HookMapResponse: "may change every answer before the client gets it",
	abi.HookObserve:     "adds fields to the access log after the answer; it changes nothing",
}

// fieldWords are the fields whose names do not say it; the others are named with blanks.
var fieldWords = map[abi.Field]string{
	abi.FieldTimeMS: "time of the request", abi.FieldSeed: "random seed", abi.FieldAPIID: "id of the API",
	abi.FieldAuthority: "host that the client asked for", abi.FieldPath: "path", abi.FieldQuery: "whole query as sent",
	abi.FieldPathParams: "path variables", abi.FieldSourceIP: "address of the client", abi.FieldSourcePort: "port of the client",
	abi.FieldTLSServerName: "TLS server name", abi.FieldTLSVersion: "TLS version",
	abi.FieldPrincipal: "identity of the caller (principal)", abi.FieldContext: "values that the authorizer established about the caller",
	abi.FieldAPIKeyID: "id of the caller's API key", abi.FieldUsagePlanID: "usage plan of the caller's API key",
	abi.FieldState: "what an earlier hook of this policy left", abi.FieldStatus: "status of the response",
	abi.FieldBodyLength: "length of the body", abi.FieldResponseLength: "length of the response",
	abi.FieldConfig: "its own config", abi.FieldPluginID: "its own id", abi.FieldIntegration: "integration of the route, as in the API document",
	abi.FieldResponseLatencyUS: "latency of the response", abi.FieldIntegrationLatencyUS: "latency of the upstream",
	abi.FieldIntegrationStatus: "status of the upstream", abi.FieldErrorType: "type of the gateway's own error",
}

// readHooks lists the hooks with what they are shown.
func (p *Page) readHooks(shape *abi.Module, manifest *abi.Manifest, found bool) {
	for h := range abi.Hooks() {
		if !shape.Exported(h.Export()) {
			continue
		}
		mask := abi.DefaultMask(h)
		if manifest != nil && h != abi.HookConfigure {
			mask = manifest.Hooks[h]
		}
		p.Hooks = append(p.Hooks, Hook{Hook: h.String(), Does: does[h], Sees: sees(&mask), Mask: maskOf(&mask)})
	}
	if !found {
		p.Notes = append(p.Notes, "it has no manifest: each hook is shown every field that there is for it, and the first 64 KiB of bodies")
	}
}

func maskOf(m *abi.Mask) *Mask {
	out := &Mask{Fields: []string{}, Headers: m.Headers, QueryParams: m.QueryParams, ResponseHeaders: m.ResponseHeaders,
		Body: Body{m.Body.Mode.String(), m.Body.Max}, ResponseBody: Body{m.ResponseBody.Mode.String(), m.ResponseBody.Max}}
	for f := range m.Fields.All() {
		out.Fields = append(out.Fields, f.String())
	}
	return out
}

// sees says what a mask shows: what is most private first.
func sees(m *abi.Mask) []string {
	var list []string
	body := func(what string, need abi.BodyNeed) {
		switch need.Mode {
		case abi.BodyPrefix:
			list = append(list, fmt.Sprintf("the first %d bytes of the %s", need.Max, what))
		case abi.BodyFull:
			list = append(list, fmt.Sprintf("the whole %s, of up to %d bytes", what, need.Max))
		}
	}
	body("body", m.Body)
	body("response body", m.ResponseBody)
	named := func(f abi.Field, what string, names []string) {
		switch {
		case !m.Has(f):
		case names == nil:
			list = append(list, "all "+what)
		default:
			list = append(list, what+" "+strings.Join(names, ", "))
		}
	}
	named(abi.FieldHeaders, "headers", m.Headers)
	named(abi.FieldQueryParams, "query parameters", m.QueryParams)
	named(abi.FieldResponseHeaders, "response headers", m.ResponseHeaders)
	for f := range m.Fields.All() {
		switch f {
		case abi.FieldBody, abi.FieldBodyTruncated, abi.FieldResponseBody, abi.FieldResponseBodyTruncated,
			abi.FieldHeaders, abi.FieldQueryParams, abi.FieldResponseHeaders:
			continue
		}
		list = append(list, wordsOf(f))
	}
	return list
}

func wordsOf(f abi.Field) string {
	if words, ok := fieldWords[f]; ok {
		return words
	}
	return strings.ReplaceAll(f.String(), "_", " ")
}
