package host_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

const customIntegration = `
  /orders/{id}:
    post:
      x-amazon-apigateway-integration:
        type: http
        httpMethod: PUT
        uri: UPSTREAM/v2/{id}?fixed=1
        requestParameters:
          integration.request.header.x-user: method.request.header.authorization
          integration.request.header.x-static: "'fixed text'"
          integration.request.header.x-stage: stageVariables.color
          integration.request.header.x-ip: context.identity.sourceIp
          integration.request.header.host: "'orders.internal'"
          integration.request.querystring.q: method.request.querystring.filter
          integration.request.path.id: method.request.path.id
        requestTemplates: {application/json: '{"wrapped": true}'}
        passthroughBehavior: never
        responses:
          default:
            statusCode: "200"
            responseParameters:
              method.response.header.X-Kind: integration.response.header.Content-Type
              method.response.header.X-Fixed: "'yes'"
          "4\\d{2}":
            statusCode: "404"
            responseTemplates: {application/json: '{"message": "no such order"}'}
          "5[0-9]{2}":
            statusCode: "502"
  /none:
    get:
      x-amazon-apigateway-integration:
        type: http
        httpMethod: GET
        uri: UPSTREAM/none
        responses: {"200": {statusCode: "200"}}
`

func TestCustomIntegration(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/upstream")
		w.Header().Set("X-Secret", "internal")
		switch r.URL.Path {
		case "/v2/missing":
			w.WriteHeader(410)
		case "/v2/broken":
			w.WriteHeader(500)
		case "/none":
			w.WriteHeader(418)
		}
		w.Write([]byte("upstream's body"))
	})
	g := start(t, files{"apis/a.yaml": document(`x-wasmgate-api: {id: api, stage: s, stage_variables: {color: blue}}`, strings.ReplaceAll(customIntegration, "UPSTREAM", u.URL))})
	g.each(t, func(t *testing.T, c *http.Client) {
		const base = site + "/s/orders/"
		fields := []string{"Content-Type: application/json", "Authorization: me", "X-Other: 1"}
		a := send(t, c, "POST", base+"7?filter=a%26b&other=2", `{"big": "secret"}`, fields...)
		assert.Equal(t, 200, a.StatusCode, a.body)
		assert.Equal(t, "upstream's body", a.body)
		assert.Equal(t, "text/upstream", a.Header.Get("X-Kind"))
		assert.Equal(t, "yes", a.Header.Get("X-Fixed"))
		assert.Empty(t, a.Header.Get("X-Secret"), "what is not mapped stays inside")
		s := u.last(t)
		assert.Equal(t, `PUT /v2/7?fixed=1&q=a%26b {"wrapped": true}`, s.method+" "+s.target+" "+s.body)
		assert.Equal(t, "orders.internal", s.host)
		assert.Equal(t, []string{"me", "fixed text", "blue", "127.0.0.1", "application/json", "AmazonAPIGateway_api", "api"},
			[]string{s.header.Get("X-User"), s.header.Get("X-Static"), s.header.Get("X-Stage"), s.header.Get("X-Ip"),
				s.header.Get("Accept"), s.header.Get("User-Agent"), s.header.Get("X-Amzn-Apigateway-Api-Id")})
		assert.Empty(t, s.header.Get("X-Other"))

		a = send(t, c, "POST", base+"missing", `{}`, fields...)
		assert.Equal(t, 404, a.StatusCode)
		assert.Equal(t, `{"message": "no such order"}`, a.body)
		assert.Empty(t, a.Header.Get("X-Fixed"))
		assert.Equal(t, 502, send(t, c, "POST", base+"broken", `{}`, fields...).StatusCode)
		isError(t, send(t, c, "POST", base+"7", "x", "Content-Type: text/plain"), 415, "BadRequestException", "Unsupported Media Type")
		isError(t, get(t, c, site+"/s/none"), 500, "InternalServerErrorException", "Internal server error")
	})
}

const mocks = `
  /mock:
    get:
      x-amazon-apigateway-integration:
        type: mock
        requestTemplates: {application/json: '{"statusCode": 201}'}
        responses:
          "2\\d{2}":
            statusCode: "201"
            responseParameters: {method.response.header.X-Mocked: "'yes'", method.response.header.X-Color: stageVariables.color}
            responseTemplates: {application/json: '{"made": true}', text/plain: made}
          default: {statusCode: "500"}
  /never:
    post:
      x-amazon-apigateway-integration:
        type: mock
        requestTemplates: {application/json: '{"statusCode": 200}'}
        passthroughBehavior: never
        responses: {default: {statusCode: "200"}}
`

func TestMock(t *testing.T) {
	g := start(t, files{"apis/a.yaml": document(`x-wasmgate-api: {id: api, stage_variables: {color: blue}}`, mocks)})
	g.each(t, func(t *testing.T, c *http.Client) {
		a := get(t, c, site+"/mock")
		assert.Equal(t, 201, a.StatusCode, a.body)
		assert.Equal(t, `{"made": true}`, a.body)
		assert.Equal(t, "yes blue application/json", a.Header.Get("X-Mocked")+" "+a.Header.Get("X-Color")+" "+a.Header.Get("Content-Type"))
		a = get(t, c, site+"/mock", "Accept: text/plain")
		assert.Equal(t, "made text/plain", a.body+" "+a.Header.Get("Content-Type"))
		assert.Equal(t, 200, send(t, c, "POST", site+"/never", "{}", "Content-Type: application/json").StatusCode)
		isError(t, send(t, c, "POST", site+"/never", "x", "Content-Type: text/x"), 415, "BadRequestException", "Unsupported Media Type")
	})
}
