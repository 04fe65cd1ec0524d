package mapping

import (
	"strconv"
	"strings"

	"github.com/wasmgate/wasmgate/plugins/internal/field"
	"github.com/wasmgate/wasmgate/plugins/internal/template"
)

// Request reads the source of a request parameter: method.request.*, stageVariables.*,
// context.* or 'static'. multi names a query parameter of which all values are meant.
func Request(source string) (t template.Template, multi, fault string) {
	if name, ok := strings.CutPrefix(source, "method.request.multivaluequerystring."); ok && name != "" {
		return nil, name, ""
	}
	if rest, ok := strings.CutPrefix(source, "method.request."); ok {
		for _, kind := range [...]struct{ from, to string }{
			{"header.", "header."}, {"multivalueheader.", "header."}, {"querystring.", "param."}, {"path.", "path_param."},
		} {
			if name, ok := strings.CutPrefix(rest, kind.from); ok {
				t, fault = selector(kind.to + name)
				return t, "", fault
			}
		}
		if strings.HasPrefix(rest, "body") {
			return nil, "", "got " + strconv.Quote(source) + ", and parameters from the body are not supported"
		}
	}
	t, fault = common(source)
	return t, "", fault
}

// Response reads the source of a response parameter: integration.response.header.*,
// stageVariables.*, context.* or 'static'.
func Response(source string) (t template.Template, fault string) {
	if rest, ok := strings.CutPrefix(source, "integration.response."); ok {
		for _, kind := range [...]string{"header.", "multivalueheader."} {
			if name, ok := strings.CutPrefix(rest, kind); ok {
				lower, fault := field.Name(name)
				return template.Select("response_header." + lower), fault
			}
		}
		return nil, "got " + strconv.Quote(source) + ", and parameters from the body are not supported"
	}
	return common(source)
}

func selector(s string) (template.Template, string) {
	s, fault := template.Selector(s, template.Request)
	return template.Select(s), fault
}

// common reads what may stand in requests and responses.
func common(source string) (t template.Template, fault string) {
	if n := len(source); n >= 2 && source[0] == '\'' && source[n-1] == '\'' {
		return template.Literal(source[1 : n-1]), ""
	}
	if name, ok := strings.CutPrefix(source, "stageVariables."); ok && name != "" {
		return template.Select("stage_variable." + name), ""
	}
	if name, ok := strings.CutPrefix(source, "context."); ok {
		if s := context(name); s != "" {
			return selector(s)
		}
	}
	return nil, "got " + strconv.Quote(source) + ", want method.request.*, stageVariables.*, context.* or 'text'"
}

// context is the selector of an Amazon $context variable; empty when there is none.
func context(name string) string {
	switch name {
	case "requestId", "extendedRequestId":
		return "request_id"
	case "apiId":
		return "api_id"
	case "stage":
		return "stage"
	case "httpMethod":
		return "method"
	case "routeKey":
		return "route"
	case "domainName":
		return "authority"
	case "identity.sourceIp":
		return "source_ip"
	case "identity.userAgent":
		return "header.user-agent"
	case "identity.apiKeyId":
		return "api_key_id"
	case "authorizer.principalId":
		return "principal"
	}
	if rest, ok := strings.CutPrefix(name, "authorizer."); ok && rest != "" {
		return "context." + rest
	}
	return ""
}
