package host_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// document is an OpenAPI document: what stands at its root, then its paths.
func document(root string, paths ...string) string {
	return "openapi: 3.0.3\ninfo: {title: Test, version: \"1\"}\n" + root + "\npaths:\n  " + strings.Join(paths, "\n  ") + "\n"
}

// proxy is an integration in flow style, which may hold more keys.
func proxy(uri string, more ...string) string {
	return fmt.Sprintf("x-amazon-apigateway-integration: {type: http_proxy, httpMethod: ANY, uri: %q%s}", uri, strings.Join(append([]string{""}, more...), ", "))
}

// isError wants an error as Amazon's clients read it.
func isError(t *testing.T, a answer, status int, kind, message string) {
	t.Helper()
	assert.Equal(t, status, a.StatusCode, a.body)
	assert.Equal(t, kind, a.Header.Get("x-amzn-errortype"))
	assert.Regexp(t, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, a.Header.Get("x-amzn-requestid"))
	assert.Equal(t, "application/json", a.Header.Get("content-type"))
	var body map[string]string
	if a.Request.Method != http.MethodHead {
		require.NoError(t, json.Unmarshal([]byte(a.body), &body), a.body)
		assert.Len(t, body, 1)
		told := body["message"] + body["Message"] // Amazon's AccessDenied writes it in upper case
		assert.Equal(t, message, told)
	}
}

func routed(u string) files {
	return files{
		"apis/shop.yaml": document(`x-wasmgate-api: {id: shop, stage: prod, domains: [shop.example.com, "*.shop.example"], base_path: v1}`,
			`/: {get: {`+proxy(u+"/root")+`}}`,
			`/pets: {get: {`+proxy(u+"/literal")+`}, post: {`+proxy(u+"/create")+`}}`,
			`/pets/{id}: {get: {`+proxy(u+"/pet/{id}")+`}, x-amazon-apigateway-any-method: {`+proxy(u+"/any/{id}")+`}}`,
			`/pets/best: {get: {`+proxy(u+"/best")+`}}`,
			`/mixed/{a}/end: {get: {`+proxy(u+"/end/{a}")+`}}`,
			`/mixed/{proxy+}: {get: {`+proxy(u+"/greedy/{proxy}")+`}}`,
			`/back/x/y: {get: {`+proxy(u+"/xy")+`}}`,
			`/back/{proxy+}: {x-amazon-apigateway-any-method: {`+proxy(u+"/back/{proxy}")+`}}`),
		"apis/deep.yaml": document(`x-wasmgate-api: {id: deep, domains: [shop.example.com], base_path: v1/admin}`,
			`/pets: {get: {`+proxy(u+"/deep")+`}}`),
		"apis/web.yaml": document(`x-wasmgate-api: {id: web, protocol: http, domains: [web.example.com]}`,
			`/hello: {get: {`+proxy(u+"/hello")+`}}`,
			`/a/{proxy+}: {get: {`+proxy(u+"/ga/{proxy}")+`}}`,
			`/a/{x}/c: {get: {`+proxy(u+"/full/{x}")+`}}`),
		"apis/fallback.yaml": document(`x-wasmgate-api: {id: fallback, stage: live}`,
			`/hello: {get: {`+proxy(u+"/hello")+`}}`,
			`/$default: {x-amazon-apigateway-any-method: {`+proxy(u+"/default")+`}}`),
	}
}

const shop = "https://shop.execute-api.localhost/prod"

func TestRoutes(t *testing.T) {
	u := serve(t, nil)
	g := start(t, routed(u.URL))
	cases := []struct{ method, url, want string }{
		{"GET", shop, "GET /root"},
		{"GET", shop + "/", "GET /root"},
		{"GET", shop + "/pets", "GET /literal"},
		{"GET", shop + "/pets/", "GET /literal"},
		{"POST", shop + "/pets", "POST /create"},
		{"GET", shop + "/pets/7", "GET /pet/7"},
		{"PATCH", shop + "/pets/7", "PATCH /any/7"},
		{"GET", shop + "/pets/best", "GET /best"},
		// A level is tried literal first, then {x}; where the method is missing, the next one serves.
		{"DELETE", shop + "/pets/best", "DELETE /any/best"},
		{"GET", shop + "//pets", "GET /literal"}, // as Amazon does after the stage
		{"GET", shop + "/pets/%e4%bd%A0", "GET /pet/%e4%bd%A0"},
		{"GET", shop + "/mixed/1/end", "GET /end/1"},
		{"GET", shop + "/mixed/1/2", "GET /greedy/1/2"},
		{"GET", shop + "/back/x/y", "GET /xy"},
		{"PUT", shop + "/back/x/y", "PUT /back/x/y"},
		{"GET", shop + "/back/x/y/z", "GET /back/x/y/z"},
		{"GET", shop + "/back/a%2Fb%20c//%E2%82%AC+~!$&'()*,=:@", "GET /back/a%2Fb%20c//%E2%82%AC+~!$&'()*,=:@"},
		{"GET", shop + "/back/x?a=1&b=%2F&c&d=a+b&a=2&=&%zz", "GET /back/x?a=1&b=%2F&c&d=a+b&a=2&=&%zz"},
		{"GET", "https://shop.example.com/v1/pets", "GET /literal"},
		{"GET", "https://SHOP.example.com:8443/v1/pets", "GET /literal"},
		{"GET", "https://eu.shop.example/v1/pets", "GET /literal"},
		{"GET", "https://shop.example.com/v1/admin/pets", "GET /deep"},
		{"GET", "https://deep.execute-api.localhost/pets", "GET /deep"},
		{"GET", "https://web.execute-api.localhost/hello", "GET /hello"},
		{"GET", "https://web.example.com/hello", "GET /hello"},
		// HTTP APIs: a full match wins over a greedy one.
		{"GET", "https://web.example.com/a/b/c", "GET /full/b"},
		{"GET", "https://web.example.com/a/b/d", "GET /ga/b/d"},
		{"GET", "https://fallback.execute-api.localhost/live/hello", "GET /hello"},
		{"POST", "https://fallback.execute-api.localhost/live/hello", "POST /default"},
		{"GET", "https://fallback.execute-api.localhost/live/no/such", "GET /default"},
	}
	g.each(t, func(t *testing.T, c *http.Client) {
		for _, tt := range cases {
			a := send(t, c, tt.method, tt.url, "")
			assert.Equal(t, 200, a.StatusCode, "%s %s", tt.method, tt.url)
			assert.Equal(t, tt.want, a.body, "%s %s", tt.method, tt.url)
		}
	})
}

func TestNoRoute(t *testing.T) {
	u := serve(t, nil)
	g := start(t, routed(u.URL))
	const rest, missing = "MissingAuthenticationTokenException", "Missing Authentication Token"
	cases := []struct {
		method, url   string
		status        int
		kind, message string
	}{
		{"GET", shop + "/nope", 403, rest, missing},
		{"PUT", shop + "/pets", 403, rest, missing},
		{"GET", shop + "/mixed", 403, rest, missing},
		{"GET", "https://shop.execute-api.localhost/other/pets", 403, "ForbiddenException", "Forbidden"},
		{"GET", "https://shop.execute-api.localhost/pets", 403, "ForbiddenException", "Forbidden"},
		{"GET", "https://shop.example.com/v2/pets", 403, "ForbiddenException", "Forbidden"},
		{"GET", "https://nobody.execute-api.localhost/", 403, "ForbiddenException", "Forbidden"},
		{"GET", "https://web.execute-api.localhost/nope", 404, "NotFoundException", "Not Found"},
		{"GET", "https://web.example.com/nope", 404, "NotFoundException", "Not Found"},
		{"POST", "https://web.example.com/hello", 404, "NotFoundException", "Not Found"},
		{"HEAD", "https://web.example.com/nope", 404, "NotFoundException", "Not Found"},
		// Paths that an upstream may read as others never get there.
		{"GET", shop + "/back/../pets", 400, "BadRequestException", "Bad Request"},
		{"GET", shop + "/back/%2e%2e/pets", 400, "BadRequestException", "Bad Request"},
		{"GET", shop + "/back/..;/pets", 400, "BadRequestException", "Bad Request"},
		{"GET", shop + "/back/a%2F..%2Fpets", 400, "BadRequestException", "Bad Request"},
		{"GET", shop + "/back/a%5C..%5Cpets", 400, "BadRequestException", "Bad Request"},
		{"GET", shop + "/pets/a%2Fb", 400, "BadRequestException", "Bad Request"},
		{"GET", shop + "/%70ets", 403, rest, missing},
		{"GET", shop + "/back/x%2Fy", 400, "BadRequestException", "Bad Request"},
	}
	g.each(t, func(t *testing.T, c *http.Client) {
		before := u.count()
		for _, tt := range cases {
			t.Run(tt.method+" "+tt.url, func(t *testing.T) {
				isError(t, send(t, c, tt.method, tt.url, ""), tt.status, tt.kind, tt.message)
			})
		}
		assert.Equal(t, before, u.count(), "requests that reached the upstream")
	})
}

// What Amazon's own exports look like: Swagger 2.0, and the stage in its place.
func TestSwagger2(t *testing.T) {
	u := serve(t, nil)
	// A host that comes from a variable counts as computed: loopback must be allowed.
	g := start(t, files{"wasmgate.yaml": "upstreams: {allow: [127.0.0.1]}", "apis/pets.json": `{
  "swagger": "2.0", "info": {"title": "Pets", "version": "2026-01-01"}, "host": "pets.execute-api.eu-west-1.amazonaws.com",
  "basePath": "/live", "schemes": ["https"], "x-wasmgate-api": {"stage": "live", "stage_variables": {"host": "` + strings.TrimPrefix(u.URL, "http://") + `"}},
  "paths": {"/pets/{id}": {"x-amazon-apigateway-any-method": {"produces": ["application/json"],
    "parameters": [{"name": "id", "in": "path", "required": true, "type": "string"}],
    "responses": {"200": {"description": "ok"}},
    "x-amazon-apigateway-integration": {"type": "HTTP_PROXY", "httpMethod": "ANY", "uri": "http://${stageVariables.host}/x/{id}",
      "requestParameters": {"integration.request.path.id": "method.request.path.id"}, "passthroughBehavior": "when_no_match"}}}}}`})
	g.each(t, func(t *testing.T, c *http.Client) {
		a := send(t, c, "PUT", "https://pets.execute-api.localhost/live/pets/9", "")
		assert.Equal(t, "PUT /x/9", a.body)
		assert.Regexp(t, `^[0-9a-f-]{36}$`, a.Header.Get("x-amzn-requestid"))
	})
}

func TestForeignNames(t *testing.T) {
	u := serve(t, nil)
	g := start(t, routed(u.URL))
	g.each(t, func(t *testing.T, c *http.Client) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "https://elsewhere.example/", nil)
		require.NoError(t, err)
		_, err = c.Do(req)
		assert.ErrorContains(t, err, "unrecognized name")
		// A connection for one name, a request for another: no such API, whatever the certificate says.
		req, err = http.NewRequestWithContext(t.Context(), "GET", shop+"/pets", nil)
		require.NoError(t, err)
		req.Host = "elsewhere.example"
		isError(t, do(t, c, req), 403, "ForbiddenException", "Forbidden")
	})
	assert.Zero(t, u.count())
}

func TestPlainListenerRedirects(t *testing.T) {
	g := start(t, routed("http://127.0.0.1:1"))
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+g.http+"/v1/pets?x=%2F", nil)
	require.NoError(t, err)
	req.Host = "shop.example.com"
	a := do(t, c, req)
	assert.Equal(t, 308, a.StatusCode)
	assert.True(t, strings.HasPrefix(a.Header.Get("Location"), "https://shop.example.com"), a.Header.Get("Location"))
	assert.True(t, strings.HasSuffix(a.Header.Get("Location"), "/v1/pets?x=%2F"), a.Header.Get("Location"))
}
