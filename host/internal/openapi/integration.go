package openapi

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/wasmgate/wasmgate/host/internal/document"
	"github.com/wasmgate/wasmgate/host/model"
)

var integrationKeys = []string{"type", "uri", "httpMethod", "requestParameters", "requestTemplates", "passthroughBehavior",
	"timeoutInMillis", "responses", "tlsConfig", "connectionType", "connectionId", "credentials", "cacheKeyParameters",
	"cacheNamespace", "contentHandling", "payloadFormatVersion", "responseTransferMode", "integrationTarget",
	"integrationSubtype", "responseParameters", "description"}

// What an integration may not have: each would send the request elsewhere or as somebody
// else, or change it.
var unserved = map[string]string{
	"connectionId":       "none: VPC links are not served yet",
	"credentials":        "none: calls are not signed yet",
	"integrationTarget":  "none: VPC links are not served yet",
	"integrationSubtype": "none: AWS services are not served yet",
	"responseParameters": "none: the parameter mapping of HTTP APIs is not served yet",
}

// What an integration may have without effect.
var leftOut = map[string]string{
	"cacheKeyParameters": "a policy with the plugin cache",
	"contentHandling":    "none: bodies pass byte for byte",
}

var (
	methodForm = regexp.MustCompile(`(?i)^(GET|PUT|POST|DELETE|OPTIONS|HEAD|PATCH|TRACE|ANY)$`)
	statusForm = regexp.MustCompile(`^[2-5][0-9][0-9]$`)
)

// Types of Amazon's that nothing here serves: such an integration goes as a whole.
var unservedTypes = []string{"aws", "aws_proxy"}

// integration reads an x-amazon-apigateway-integration of a route with that path. It is
// never nil: where there are problems in it, it is what could be read.
func (l *loader) integration(v document.Value, path []model.Segment) *model.Integration {
	i := new(model.Integration)
	if !v.Object() {
		return i
	}
	v.Only(integrationKeys...)
	v.Require("type")
	i.Position = v.Position()
	kind := v.Field("type")
	if i.Type = strings.ToLower(kind.Text()); kind.Exists() && !slices.Contains([]string{"http_proxy", "http", "mock"}, i.Type) {
		kind.Report("", "http_proxy, http or mock: no other type is served yet")
		if slices.Contains(unservedTypes, i.Type) {
			return i
		}
	}
	for key, field := range v.Fields() {
		if want, ok := unserved[key]; ok {
			field.AtKey().Report("a key that is not served yet", want)
		}
		if want, ok := leftOut[key]; ok {
			l.warn(field.AtKey(), "a key that is not served yet", want)
		}
	}
	if connection := v.Field("connectionType"); connection.Exists() && connection.Text() != "INTERNET" {
		connection.Report("", `"INTERNET": VPC links are not served yet`)
	}
	if method := v.Field("httpMethod"); method.Plain() != anyMethod {
		i.HTTPMethod = strings.ToUpper(method.Match(methodForm, "a method or ANY"))
	}
	i.TimeoutMillis = timeout(v.Field("timeoutInMillis"))
	i.PassthroughBehavior = strings.ToLower(v.Field("passthroughBehavior").Match(passthroughForm, "when_no_match, when_no_templates or never"))
	i.RequestParameters = l.requestParameters(v.Field("requestParameters"), path)
	i.RequestTemplates = templates(v.Field("requestTemplates"))
	i.Responses = responses(v.Field("responses"))
	i.InsecureSkipVerification = l.insecure(v.Field("tlsConfig"))
	if i.Type == "http" || i.Type == "http_proxy" {
		v.Require("uri")
	}
	if i.Type != "mock" {
		i.URI = l.uri(v.Field("uri"), path, i.RequestParameters)
	}
	return i
}

var passthroughForm = regexp.MustCompile(`(?i)^(when_no_match|when_no_templates|never)$`)

// timeout may be longer than Amazon's 29 seconds.
func timeout(v document.Value) int { return int(v.Int(50, 900_000)) }

// insecure reads tlsConfig.
func (l *loader) insecure(v document.Value) bool {
	if !v.Exists() {
		return false
	}
	v.Only("insecureSkipVerification", "serverNameToVerify")
	if name := v.Field("serverNameToVerify"); name.Exists() {
		name.AtKey().Report("a key that is not served yet", "none: the name in the uri is verified")
	}
	skip := v.Field("insecureSkipVerification")
	if skip.Bool() {
		l.warn(skip, "an upstream whose certificate is not verified", "false")
	}
	return skip.Bool()
}

var stageVariable = regexp.MustCompile(`\$\{stageVariables\.([A-Za-z0-9_]+)\}`)

// uri checks an upstream's URL, with its variables in place. A path variable never
// decides the authority, where it would let the client choose the upstream (CWE-918).
func (l *loader) uri(v document.Value, path []model.Segment, parameters map[string]string) string {
	text, ok := v.Scalar()
	if !ok {
		return ""
	}
	filled, known := l.stageVariablesIn(v, text)
	// What stands for a variable is no part of a host's name.
	const mark = "\x01"
	for {
		before, rest, opened := strings.Cut(filled, "{")
		variable, after, closed := strings.Cut(rest, "}")
		if !opened || !closed {
			break
		}
		variable = strings.TrimSuffix(variable, "+")
		if _, mapped := parameters["integration.request.path."+variable]; !mapped && !has(path, variable) {
			v.Report("the variable {"+variable+"}", "one of the path, or one that requestParameters map")
		}
		filled = before + mark + after
	}
	if !known {
		return text
	}
	authority, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(filled, "https://"), "http://"), "/")
	if strings.Contains(authority, mark) {
		v.Report("a path variable in the host", "variables after the host only")
	}
	u, err := url.Parse(strings.ReplaceAll(filled, mark, "x"))
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.User != nil, u.Fragment != "", strings.ContainsAny(filled, "{}$\\ "):
		v.Report("", "an http or https URL with a host, without user and fragment")
	default:
		if a, err := netip.ParseAddr(u.Hostname()); err == nil && (a.Zone() != "" || model.NeverUpstream(a)) {
			v.Report("", "a host that is neither link-local nor of a metadata service: such an address is never called")
		}
	}
	return text
}

// stageVariablesIn is text with the values of the stage variables; not ok when one is
// missing or refused.
func (l *loader) stageVariablesIn(v document.Value, text string) (filled string, ok bool) {
	if !strings.Contains(text, "${") {
		return text, true
	}
	ok = true
	filled = stageVariable.ReplaceAllStringFunc(text, func(whole string) string {
		name := stageVariable.FindStringSubmatch(whole)[1]
		value, there := l.stageVariables[name]
		if !there {
			v.Report("the stage variable "+name, "one of "+apiKey+".stage_variables")
		}
		ok = ok && value != "" // what is refused is empty
		return value
	})
	return filled, ok
}

// has tells whether the path has the variable.
func has(path []model.Segment, variable string) bool {
	return slices.ContainsFunc(path, func(s model.Segment) bool { return s.Kind != model.Literal && s.Text == variable })
}

// A name of a header, query parameter or path variable.
const name = "([A-Za-z0-9!#$%&'*+.^_`|~-]+)"

var (
	requestTarget  = regexp.MustCompile("^integration\\.request\\.(header|querystring|path)\\." + name + "$")
	responseTarget = regexp.MustCompile("^method\\.response\\.(header)\\." + name + "$")
	common         = "'[^']*'|stageVariables\\.[A-Za-z0-9_]+|context\\.[A-Za-z0-9_.]+"
	requestSource  = regexp.MustCompile("^(method\\.request\\.(header|querystring|path|multivalueheader|multivaluequerystring)\\." + name + "|" + common + ")$")
	responseSource = regexp.MustCompile("^(integration\\.response\\.(header|multivalueheader)\\." + name + "|" + common + ")$")
	// Headers that frame the message or that the gateway sets: Amazon answers 500 to their
	// mapping; we refuse it, since it is request smuggling (RFC 9112, section 11.2).
	framing = []string{"connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade", "x-amzn-trace-id", "x-amzn-apigateway-api-id"}
)

// requestParameters reads the mapping of a request.
func (l *loader) requestParameters(v document.Value, path []model.Segment) map[string]string {
	mapping := parameters(v, requestTarget, "integration.request.{header,querystring,path}.NAME", requestSource,
		"method.request.{header,querystring,path}.NAME, stageVariables.NAME, context.NAME or 'text'")
	for target, source := range mapping {
		variable, ok := strings.CutPrefix(source, "method.request.path.")
		if ok && !has(path, variable) {
			v.Field(target).Report("", "a variable of the path")
		}
		if variable, ok := strings.CutPrefix(source, "stageVariables."); ok {
			if _, ok := l.stageVariables[variable]; !ok {
				v.Field(target).Report("", "one of "+apiKey+".stage_variables")
			}
		}
	}
	return mapping
}

func parameters(v document.Value, target *regexp.Regexp, wantTarget string, source *regexp.Regexp, wantSource string) map[string]string {
	var mapping map[string]string
	for key, value := range v.Fields() {
		m := target.FindStringSubmatch(key)
		if m == nil && strings.Contains(key, ":") {
			value.AtKey().Report("the parameter mapping of HTTP APIs", wantTarget+": it is not served yet")
			continue
		}
		if m == nil {
			value.AtKey().Report("the target "+key, wantTarget)
			continue
		}
		if m[1] == "header" && slices.Contains(framing, strings.ToLower(m[2])) {
			value.AtKey().Report("the header "+m[2], "none that frames the message or that the gateway sets")
		}
		if mapping == nil {
			mapping = map[string]string{}
		}
		mapping[key] = value.Match(source, wantSource)
		if strings.ContainsAny(mapping[key], "\r\n\x00") {
			value.Report("a text with a line break", "a header or query value in one line")
		}
	}
	return mapping
}

// A directive or a reference of the Velocity template language.
var velocity = regexp.MustCompile(`\$!?\{?[A-Za-z_]+|#[A-Za-z{@#*\[]+`)

// templates reads mapping templates, which are static texts for now.
func templates(v document.Value) map[string]string {
	var all map[string]string
	for kind, template := range v.Fields() {
		text := template.Text()
		if found := velocity.FindString(text); found != "" {
			template.Report("a template with "+found, "a text without $ and #: the template language is not served yet")
		}
		if all == nil {
			all = map[string]string{}
		}
		all[kind] = text
	}
	return all
}

// responses reads the answers by their patterns.
func responses(v document.Value) map[string]model.IntegrationResponse {
	var all map[string]model.IntegrationResponse
	for pattern, response := range v.Fields() {
		if _, err := regexp.Compile("^(?:" + pattern + ")$"); err != nil {
			response.AtKey().Report("a pattern that is no regular expression", `one of RE2's form, or "default"`)
		}
		response.Only("statusCode", "responseParameters", "responseTemplates", "contentHandling")
		response.Require("statusCode")
		code := response.Field("statusCode")
		text, ok := code.Scalar()
		if ok && !statusForm.MatchString(text) {
			code.Report("", "a status from 200 to 599")
		}
		if all == nil {
			all = map[string]model.IntegrationResponse{}
		}
		all[pattern] = model.IntegrationResponse{
			StatusCode: text,
			ResponseParameters: parameters(response.Field("responseParameters"), responseTarget, "method.response.header.NAME",
				responseSource, "integration.response.header.NAME, stageVariables.NAME, context.NAME or 'text'"),
			ResponseTemplates: templates(response.Field("responseTemplates")),
		}
	}
	return all
}
