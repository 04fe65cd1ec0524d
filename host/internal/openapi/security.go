package openapi

import (
	"encoding/json"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/wasmgate/wasmgate/host/internal/document"
	"github.com/wasmgate/wasmgate/host/model"
)

// scheme is one security scheme: an authorizer, or the API key of Amazon's x-api-key.
type scheme struct {
	authorizer *model.Authorizer
	key        *model.Policy
	broken     bool // it is among the problems: bound, it would be again
}

// security reads security requirements. Amazon asks for all of the list, where OpenAPI
// asks for one of it: all is what the exports mean (a key beside an authorizer) and the
// safer reading.
func (l *loader) security(v document.Value) (guards []model.Authorizer, keys []model.Policy) {
	for requirement := range v.Items() {
		for name, scopes := range requirement.Fields() {
			s := l.scheme(name, scopes)
			switch {
			case s.authorizer != nil:
				guard := *s.authorizer
				if guard.Scopes = scopes.Texts(); !s.broken {
					guards = append(guards, guard)
				}
			case s.key != nil && !s.broken:
				keys = append(keys, *s.key)
			}
		}
	}
	return guards, keys
}

var schemeKeys = []string{"type", "description", "name", "in", "scheme", "bearerFormat", "flows", "openIdConnectUrl",
	"flow", "authorizationUrl", "tokenUrl", "scopes"}

// scheme reads the security scheme of that name, once; use is where it is asked for.
func (l *loader) scheme(name string, use document.Value) *scheme {
	if s := l.schemes[name]; s != nil {
		return s
	}
	v := l.root.Field("components").Field("securitySchemes").Field(name)
	if l.root.Field("swagger").Exists() {
		v = l.root.Field("securityDefinitions").Field(name)
	}
	if !v.Exists() {
		use.AtKey().Report("a security scheme that is not there", "one of the document's")
		return new(scheme)
	}
	s := new(scheme)
	l.schemes[name] = s
	before := l.doc.Count()
	if v = l.follow(v); !v.Object() {
		return s
	}
	l.keys(v, atScheme, schemeKeys)
	kind := v.Field("type").Text()
	authorizer := v.Field(amazon + "authorizer")
	switch {
	case authorizer.Exists():
		s.authorizer = l.authorizer(l.follow(authorizer), name)
	case kind == "apiKey" && v.Field("in").Text() == "header" && strings.EqualFold(v.Field("name").Text(), "x-api-key"):
		s.key = &model.Policy{Plugin: "api-key", Config: json.RawMessage(`{"in":"header","name":"x-api-key"}`), Position: v.AtKey().Position()}
	case kind == "apiKey":
		v.Report("an API key that is not in the header x-api-key", `in: header, name: x-api-key; or a policy with the plugin api-key`)
	default:
		v.Report("a security scheme that nothing checks", amazon+"authorizer in it")
	}
	s.broken = l.doc.Count() > before
	return s
}

var (
	authorizerKeys = []string{"type", "identitySource", "jwtConfiguration"}
	sourceForm     = regexp.MustCompile("^\\$request\\.(header|querystring)\\.[A-Za-z0-9!#%&'*+.^_`|~-]+$")
)

// authorizer reads an x-amazon-apigateway-authorizer.
func (l *loader) authorizer(v document.Value, name string) *model.Authorizer {
	a := &model.Authorizer{Name: name, Position: v.Position()}
	if kind := v.Field("type"); !strings.EqualFold(kind.Text(), "jwt") {
		v.Require("type")
		if kind.Exists() {
			kind.Report("", `"jwt": no other authorizer is served yet`)
			return a
		}
	}
	v.Only(append(authorizerKeys, "authorizerResultTtlInSeconds")...) // verdicts live no longer than their token
	v.Require("jwtConfiguration")
	a.IdentitySource = v.Field("identitySource").Match(sourceForm, "$request.header.NAME or $request.querystring.NAME")
	jwt := v.Field("jwtConfiguration")
	if !jwt.Exists() {
		return a
	}
	jwt.Only("issuer", "audience")
	jwt.Require("issuer", "audience")
	issuer := jwt.Field("issuer")
	if a.Issuer = issuer.Text(); issuer.IsText() && !issuerURL(a.Issuer) {
		issuer.Report("", "an https URL without query and fragment (http on loopback only)")
	}
	audience := jwt.Field("audience")
	if audience.IsText() {
		a.Audience = []string{audience.Text()}
	} else {
		a.Audience = audience.Texts()
	}
	if audience.Exists() && (len(a.Audience) == 0 || slices.Contains(a.Audience, "")) {
		audience.Report("no audience", "at least one, none empty")
	}
	return a
}

// issuerURL is what OpenID Connect Discovery 1.0, section 3, takes as an issuer, and plain
// http on loopback, where nobody listens in.
func issuerURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && loopback
}
