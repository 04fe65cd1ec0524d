package model

import (
	"encoding/json"
	"fmt"
)

// Protocol is the kind of an API. It decides what an unmatched request is told.
type Protocol string

// The protocols.
const (
	REST Protocol = "REST" // no match: 403 Missing Authentication Token
	HTTP Protocol = "HTTP" // no match: 404 Not Found
)

// Position is where something stands in a file.
type Position struct {
	File         string
	Line, Column int // from 1; 0 when unknown
}

// String is "file:line:column", as editors and CI take it.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// API is one API with one deployed stage.
type API struct {
	// ID names the API in {id}.execute-api.localhost, in metrics and logs.
	ID string
	// Name is the document's info.title.
	Name string
	// Protocol is REST when empty.
	Protocol Protocol
	// Stage is the name of the stage, the first path segment on the execute-api host;
	// "$default" is served at the root there.
	Stage string
	// Domains are custom domain names, lower case; there the stage is no part of the path.
	Domains []string
	// BasePath is the path prefix on the custom domains, without slashes at its ends; empty is the root.
	BasePath string
	// StageVariables are the stage's variables.
	StageVariables map[string]string
	// Routes are the methods of all resources.
	Routes []Route
	// Policies are bound to the whole API, in order, before those of path and operation.
	Policies []Policy
	// Keys are the API keys that this API accepts, beside the gateway's.
	Keys []APIKey
	Position
}

// Route is one method of one resource.
type Route struct {
	// Method is upper case; ANY stands for all methods without a route of their own.
	Method string
	// Path is the resource path, such as /pets/{id} or /files/{proxy+}.
	Path string
	// Integration answers; nil only where a policy with an integrate hook does.
	Integration *Integration
	// Authorizers guard the route, in order: from the operation's security.
	Authorizers []Authorizer
	// Policies are the path item's and then the operation's.
	Policies []Policy
	Position
}

// Key is the route key, such as "GET /pets/{id}".
func (r *Route) Key() string { return r.Method + " " + r.Path }

// Integration is an x-amazon-apigateway-integration.
type Integration struct {
	// Type is http_proxy, http or mock, lower case.
	Type string `json:"type"`
	// URI is the upstream's URL; {name} is a path variable, ${stageVariables.name} a stage variable.
	URI string `json:"uri,omitempty"`
	// HTTPMethod is the method to send; empty or ANY is the client's.
	HTTPMethod string `json:"http_method,omitempty"`
	// TimeoutMillis is the whole time of the call; 0 is 29000.
	TimeoutMillis int `json:"timeout_ms,omitempty"`
	// RequestParameters map integration.request.* from method.request.*, stage variables, context or 'static'.
	RequestParameters map[string]string `json:"request_parameters,omitempty"`
	// RequestTemplates are request templates by content type.
	RequestTemplates map[string]string `json:"request_templates,omitempty"`
	// PassthroughBehavior is when_no_match (default), when_no_templates or never.
	PassthroughBehavior string `json:"passthrough_behavior,omitempty"`
	// Responses choose the answer by regular expression on the status; "default" is the rest.
	Responses map[string]IntegrationResponse `json:"responses,omitempty"`
	// InsecureSkipVerification is tlsConfig.insecureSkipVerification.
	InsecureSkipVerification bool `json:"insecure_skip_verification,omitempty"`
	Position                 `json:"-"`
}

// IntegrationResponse is one answer of an integration.
type IntegrationResponse struct {
	// StatusCode is the status for the client.
	StatusCode string `json:"status_code"`
	// ResponseParameters map method.response.header.* from integration.response.* or 'static'.
	ResponseParameters map[string]string `json:"response_parameters,omitempty"`
	// ResponseTemplates are response templates by content type.
	ResponseTemplates map[string]string `json:"response_templates,omitempty"`
}

// Authorizer is an x-amazon-apigateway-authorizer of type jwt with the operation's scopes.
type Authorizer struct {
	// Name is the security scheme's.
	Name string
	// IdentitySource is $request.header.X or $request.querystring.X; empty is the Authorization header.
	IdentitySource string
	// Issuer is the iss that a token must have, and the URL whose discovery document names the key set.
	Issuer string
	// Audience is the accepted aud values.
	Audience []string
	// Scopes are the operation's: a token needs one of them; none asks for none.
	Scopes []string
	Position
}

// Policy is a plugin bound with a config and grants.
type Policy struct {
	// Plugin is the plugin's id.
	Plugin string
	// Source is where its module is to be had; the zero value is plugins.dir or the built-in plugins.
	Source Source `json:",omitzero"`
	// Digest is what the module must be, "sha256:" and hex; empty asks for none.
	Digest string `json:",omitempty"`
	// Config is JSON, as the plugin's schema wants it; nil is none.
	Config json.RawMessage
	// Grants bound the plugin's capabilities.
	Grants Grants
	// OnError says what a trap, exhausted fuel or bad result costs: OnErrorDeny, OnErrorSkip
	// or OnErrorFail; empty is fail, and deny for guard and authorize, always.
	OnError string
	// Isolation is IsolationPooled, or empty for it, or IsolationFresh.
	Isolation string
	// Fuel is the budget of one call, in charged Wasm instructions; 0 is the process default.
	Fuel uint64
	// Memory is the cap of one instance's linear memory, in bytes; 0 is the process default.
	Memory uint64
	// Record says that calls are recorded, and how; nil records none.
	Record *Record `json:",omitempty"`
	// Gateway says that the policy is bound to the whole gateway.
	Gateway bool `json:",omitempty"`
	Position
}

// Record is what of a policy's calls is written to data_dir/recordings, to be run again.
type Record struct {
	// Sample is the share of calls, from 0 to 1.
	Sample float64
	// Max is the most in a minute.
	Max int
	// Redact names what is a secret beside what always is, Reveal what of that is none: by
	// selectors, such as header.x-tenant, or as body, response_body or config.
	Redact, Reveal []string
}

// What on_error and isolation say.
const (
	OnErrorDeny     = "deny" // 403, the request ends
	OnErrorSkip     = "skip" // as if the policy were not bound
	OnErrorFail     = "fail" // 500, the request ends
	IsolationPooled = "pooled"
	IsolationFresh  = "fresh"
)

// Grants bound what a policy's capabilities reach. The zero value grants nothing.
type Grants struct {
	// HTTP is the outbound hosts: "host", "host:port" or "*.domain"; https unless "http://host:port".
	HTTP []string `json:"http,omitempty"`
	// Upstreams are hosts of HTTP by the names that plugins of proxy-wasm call them by, each
	// as https://host:port or http://host:port.
	Upstreams map[string]string `json:"upstreams,omitempty"`
	// KV is the key prefixes.
	KV []string `json:"kv,omitempty"`
	// Secrets is the secrets' names.
	Secrets []string `json:"secrets,omitempty"`
	// JWKS is the issuer or key set URLs.
	JWKS []string `json:"jwks,omitempty"`
}

// APIKey is one API key. Its value is known only by its hash.
type APIKey struct {
	// ID names the key in logs and metrics.
	ID string
	// SHA256 is the hash of the value.
	SHA256 [32]byte
	// Disabled keys are refused.
	Disabled bool
	// UsagePlan is the id of its plan; may be empty.
	UsagePlan string
	Position
}
