package openapi

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/wasmgate/wasmgate/host/internal/document"
	"github.com/wasmgate/wasmgate/host/model"
)

// Our extensions.
const (
	apiKey      = "x-wasmgate-api"
	policiesKey = "x-wasmgate-policies"
	keysKey     = "x-wasmgate-keys"
)

var (
	rootKeys2 = []string{"swagger", "info", "host", "basePath", "schemes", "consumes", "produces", "paths", "definitions",
		"parameters", "responses", "securityDefinitions", "security", "tags", "externalDocs"}
	rootKeys3 = []string{"openapi", "info", "jsonSchemaDialect", "servers", "paths", "webhooks", "components", "security", "tags", "externalDocs"}
)

// api reads the whole document.
func (l *loader) api() *model.API {
	if !l.root.Object() {
		return nil
	}
	known := rootKeys3
	if l.root.Field("swagger").Exists() {
		known = rootKeys2
	}
	if !l.version() {
		return nil // no API document, perhaps: all that follows would be noise
	}
	l.keys(l.root, atRoot, known)
	api := &model.API{Name: l.root.Field("info").Field("title").Plain(), Position: l.root.Position()}
	l.settings(l.root.Field(apiKey), api)
	l.root.Require("paths")
	api.Routes = l.paths(l.root.Field("paths"))
	api.Policies = l.policies(l.root.Field(policiesKey))
	api.Keys = l.apiKeys(l.root.Field(keysKey))
	return api
}

// gateway reads a document of the form of an API's, without paths.
func (l *loader) gateway() ([]model.Policy, []model.APIKey) {
	l.root.Only(policiesKey, keysKey, "openapi", "info")
	if !l.root.IsObject() {
		return []model.Policy{l.lost(l.root.Position())}, nil
	}
	return l.policies(l.root.Field(policiesKey)), l.apiKeys(l.root.Field(keysKey))
}

var version3 = regexp.MustCompile(`^3\.[01](\.[0-9]+)?$`)

// version tells whether the document says what it is. One of another version is read on:
// most of what is wrong in it is wrong in each.
func (l *loader) version() bool {
	if v := l.root.Field("swagger"); v.Exists() {
		if text, _ := v.Scalar(); text != "2.0" {
			v.Report("", `"2.0"`)
		}
		return true
	}
	v := l.root.Field("openapi")
	if !v.Exists() {
		l.root.Report(`a document without "openapi" or "swagger"`, "an OpenAPI 3.0 or 3.1 or a Swagger 2.0 document")
		return false
	}
	if text, _ := v.Scalar(); !version3.MatchString(text) {
		v.Report("", `"3.0.x" or "3.1.x"`)
	}
	return true
}

var (
	idForm       = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	stageForm    = regexp.MustCompile(`^(\$default|[A-Za-z0-9_-]{1,128})$`)
	domainForm   = regexp.MustCompile(`^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	basePathForm = regexp.MustCompile(`^[A-Za-z0-9$_.+!*'()~,-]+(/[A-Za-z0-9$_.+!*'()~,-]+)*$`)
	nameForm     = regexp.MustCompile(`^[A-Za-z0-9_]{1,64}$`)
	// Amazon's form for stage variables, and no longer than there.
	variableForm = regexp.MustCompile(`^[A-Za-z0-9\-._~:/?#&=,]{1,512}$`)
)

// settings reads x-wasmgate-api.
func (l *loader) settings(v document.Value, api *model.API) {
	if v.Exists() {
		api.Position = v.Position()
		v.Only("id", "stage", "domains", "base_path", "stage_variables", "protocol")
	}
	api.ID = slug(l.doc.File)
	if id := v.Field("id"); id.Exists() {
		api.ID = id.Match(idForm, "1 to 63 lower-case letters, digits and hyphens")
	} else if !idForm.MatchString(api.ID) {
		v.Report("a file name that gives no id", "an id of 1 to 63 lower-case letters, digits and hyphens")
	}
	api.Stage = cmp.Or(l.options.Stage, "$default")
	if stage := v.Field("stage"); stage.Exists() {
		api.Stage = stage.Match(stageForm, `"$default", or letters, digits, - and _`)
	}
	for domain := range v.Field("domains").Items() {
		name := strings.ToLower(domain.Text())
		if !domainForm.MatchString(name) || len(name) > 253 {
			domain.Report("", `a domain name such as api.example.com or *.example.com`)
		} else if slices.Contains(api.Domains, name) {
			domain.Report("the domain "+name+" again", "it once")
		} else {
			api.Domains = append(api.Domains, name)
		}
	}
	if base := v.Field("base_path"); base.Exists() {
		api.BasePath = strings.Trim(base.Text(), "/")
		dots := slices.ContainsFunc(strings.Split(api.BasePath, "/"), func(s string) bool { return s == "." || s == ".." })
		if api.BasePath != "" && (dots || !basePathForm.MatchString(api.BasePath)) {
			base.Report("", "a path such as v1 or shop/v1")
			api.Domains = nil // what is claimed there is not known
		}
	}
	for name, value := range v.Field("stage_variables").Fields() {
		if !nameForm.MatchString(name) {
			value.Report("the name "+name, "1 to 64 letters, digits and _")
		}
		if api.StageVariables == nil {
			api.StageVariables = map[string]string{}
		}
		api.StageVariables[name] = value.Match(variableForm, "1 to 512 of letters, digits and -._~:/?#&=,")
	}
	l.stageVariables = api.StageVariables
	api.Protocol = l.protocol(v.Field("protocol"))
	l.rest = api.Protocol == model.REST
}

// protocol is HTTP where the document says so, or has what only HTTP APIs have.
func (l *loader) protocol(v document.Value) model.Protocol {
	if v.Exists() {
		if v.OneOf("rest", "http") == "http" {
			return model.HTTP
		}
		return model.REST
	}
	for _, key := range []string{"x-amazon-apigateway-importexport-version", "x-amazon-apigateway-cors"} {
		if l.root.Field(key).Exists() {
			return model.HTTP
		}
	}
	if l.root.Field("paths").Field("/" + model.DefaultPath).Exists() {
		return model.HTTP
	}
	return model.REST
}
