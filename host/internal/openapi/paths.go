package openapi

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wasmgate/wasmgate/host/internal/document"
	"github.com/wasmgate/wasmgate/host/model"
)

const anyMethod = amazon + "any-method"

var (
	methods  = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace", anyMethod}
	itemKeys = append([]string{"$ref", "summary", "description", "servers", "parameters"}, methods[:8]...)
	// The keys of an operation in Swagger 2.0 and OpenAPI 3.
	operationKeys = []string{"tags", "summary", "description", "externalDocs", "operationId", "parameters", "responses",
		"deprecated", "security", "consumes", "produces", "schemes", "requestBody", "callbacks", "servers",
		"isDefaultRoute"} // Amazon's exports mark $default by it
)

// claims finds paths that one request cannot tell apart.
type claims struct {
	routes    map[string]document.Value // method and shape, variables without their names
	variables map[string]string         // by shape, the name of a REST API's variable
}

func newClaims() claims { return claims{map[string]document.Value{}, map[string]string{}} }

// paths reads all path items.
func (l *loader) paths(v document.Value) []model.Route {
	var routes []model.Route
	seen := newClaims()
	for path, item := range v.Fields() {
		if strings.HasPrefix(path, "x-") {
			continue
		}
		segments, clean, ok := l.path(path, item)
		if !ok {
			// What is wrong below it is told, too, but nothing can be said of its neighbours.
			routes = append(routes, l.item(item, path, guess(path), newClaims())...)
			continue
		}
		l.siblings(item, segments, seen)
		routes = append(routes, l.item(item, clean, segments, seen)...)
	}
	return routes
}

// path checks the key of a path item. A slash at the end is dropped, as Amazon's import does.
func (l *loader) path(path string, item document.Value) (segments []model.Segment, clean string, ok bool) {
	if path == "/"+model.DefaultPath && !l.rest {
		return []model.Segment{{Text: model.DefaultPath}}, model.DefaultPath, true
	}
	segments, err := model.ParsePath(path)
	if e := (*model.PathError)(nil); errors.As(err, &e) {
		item.AtKey().Report(e.Got, e.Want)
		return nil, "", false
	}
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	return segments, path, true
}

var braces = regexp.MustCompile(`\{([^{}]*?)\+?\}`)

// guess is the variables that a path seems to have which is none.
func guess(path string) (segments []model.Segment) {
	for _, m := range braces.FindAllStringSubmatch(path, -1) {
		segments = append(segments, model.Segment{Kind: model.Variable, Text: m[1]})
	}
	return segments
}

// siblings refuses /a/{x} beside /a/{y} in a REST API, as Amazon does.
func (l *loader) siblings(item document.Value, segments []model.Segment, seen claims) {
	shape := ""
	for _, s := range segments {
		shape += "/" + step(s)
		if !l.rest || s.Kind == model.Literal {
			continue
		}
		if first, ok := seen.variables[shape]; ok && first != s.Text {
			item.AtKey().Report(fmt.Sprintf("the variable %q beside %q", s.Text, first), "one name for one place")
		}
		seen.variables[shape] = s.Text
	}
}

// step is a segment without the name of its variable.
func step(s model.Segment) string {
	return [...]string{model.Literal: s.Text, model.Variable: "{}", model.Greedy: "{+}"}[s.Kind]
}

// item reads one path item.
func (l *loader) item(v document.Value, path string, segments []model.Segment, seen claims) []model.Route {
	shape := ""
	for _, s := range segments {
		shape += "/" + step(s)
	}
	l.keys(v, atPath, itemKeys)
	source := l.follow(v)
	if source != v && source.Exists() {
		l.keys(source, atPath, itemKeys)
	}
	policies := l.policies(source.Field(policiesKey))
	var routes []model.Route
	for _, method := range methods {
		operation := source.Field(method)
		if !operation.Exists() || !operation.Object() {
			continue
		}
		name := strings.ToUpper(method)
		if method == anyMethod {
			name = "ANY"
		}
		if first, ok := seen.routes[name+" "+shape]; ok {
			operation.AtKey().Report("the route of "+first.Path()+" on line "+strconv.Itoa(first.Position().Line)+" again", "it once")
		}
		seen.routes[name+" "+shape] = operation.AtKey()
		routes = append(routes, l.operation(operation, name, path, segments, policies))
	}
	return routes
}

// operation reads one route.
func (l *loader) operation(v document.Value, method, path string, segments []model.Segment, policies []model.Policy) model.Route {
	l.keys(v, atOperation, operationKeys)
	route := model.Route{Method: method, Path: path, Position: v.AtKey().Position()}
	security := v.Field("security")
	if !security.Exists() {
		// Amazon's import leaves the root's security out; an API that asks for it must not be open.
		security = l.root.Field("security")
	}
	guards, keys := l.security(security)
	route.Authorizers = guards
	route.Policies = slices.Concat(keys, policies, l.policies(v.Field(policiesKey)))
	if integration := v.Field(amazon + "integration"); integration.Exists() {
		route.Integration = l.integration(l.follow(integration), segments)
	}
	return route
}
