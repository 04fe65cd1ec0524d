package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

func TestWrite(t *testing.T) {
	cause := errors.New("dial 10.0.0.7:80: refused")
	for _, c := range []struct {
		name   string
		err    error
		status int
		typ    string
		body   string
	}{
		{"rest, no route", MissingAuthenticationToken.Problem(), 403, "MissingAuthenticationTokenException", `{"message":"Missing Authentication Token"}`},
		{"http, no route", NotFound.HTTP(), 404, "NotFoundException", `{"message":"Not Found"}`},
		{"rest, deny", AccessDenied.Problem(), 403, "AccessDeniedException", `{"Message":"User is not authorized to access this resource"}`},
		{"http, deny", AccessDenied.Problem().ForHTTP(), 403, "AccessDeniedException", `{"message":"Forbidden"}`},
		{"quota", QuotaExceeded.Problem(), 429, "LimitExceededException", `{"message":"Limit Exceeded"}`},
		{"cause stays inside", New(IntegrationFailure, cause), 504, "InternalServerErrorException", `{"message":"Network error communicating with endpoint"}`},
		{"cause stays inside, http", New(Internal, cause).ForHTTP(), 500, "InternalServerErrorException", `{"message":"Internal Server Error"}`},
		{"wrapped", fmt.Errorf("integrate: %w", Throttled.Problem()), 429, "TooManyRequestsException", `{"message":"Too Many Requests"}`},
		{"unknown error", cause, 500, "InternalServerErrorException", `{"message":"Internal server error"}`},
		{"no error", nil, 500, "InternalServerErrorException", `{"message":"Internal server error"}`},
		{"hostile message", BadRequest.Problem().WithMessage("a\"b\r\n\x00\xff</script>"), 400, "BadRequestException", "{\"message\":\"a\\\"b\\r\\n\\u0000\\ufffd\\u003c/script\\u003e\"}"},
		{"own message, http", AccessDenied.Problem().WithMessage("no").ForHTTP(), 403, "AccessDeniedException", `{"message":"no"}`},
		{"own message, changed in a copy", &Problem{Code: AccessDenied, Message: "no"}, 403, "AccessDeniedException", `{"Message":"no"}`},
		{"literal", &Problem{Code: BadRequest}, 400, "BadRequestException", `{"message":"Bad Request"}`},
		{"own status", &Problem{Code: AccessDenied, Status: 418, Type: "T"}, 418, "T", `{"Message":"User is not authorized to access this resource"}`},
		{"no code", &Problem{}, 500, "InternalServerErrorException", `{"message":"Internal server error"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := exchange.Acquire()
			defer x.Release()
			copy(x.ID[:], "8d6d2a0c-4ee0-4cf6-8b5e-0f2f3b8f7d10")
			x.Response.Header.Add("set-cookie", "half=done")
			x.Response.CloseConnection = true
			stream := &closer{Reader: strings.NewReader("half")}
			x.Response.Stream = stream

			Write(x, c.err)

			r := &x.Response
			assert.Equal(t, c.status, r.Status)
			assert.Equal(t, c.body, string(r.Body))
			assert.True(t, json.Valid(r.Body))
			assert.Equal(t, c.typ, string(r.Header.Get("x-amzn-errortype")))
			assert.Equal(t, "8d6d2a0c-4ee0-4cf6-8b5e-0f2f3b8f7d10", string(r.Header.Get("x-amzn-requestid")))
			assert.Equal(t, "application/json", string(r.Header.Get("content-type")))
			assert.False(t, r.Header.Has("set-cookie"), "fields of the abandoned answer must go")
			assert.True(t, r.CloseConnection)
			assert.True(t, stream.closed)
			assert.Nil(t, r.Stream)
		})
	}
}

type closer struct {
	io.Reader
	closed bool
}

func (c *closer) Close() error { c.closed = true; return nil }

func TestCopiesLeaveTheConstantsAlone(t *testing.T) {
	p := Throttled.Problem().WithHeader("retry-after", "1")
	q := p.WithHeader("ratelimit", "x")
	p.WithHeader("ratelimit", "y")
	assert.Equal(t, "x", string(q.Header[1].Value))
	p.Message = "slower"
	x := exchange.Acquire()
	defer x.Release()
	p.Write(x)
	assert.Equal(t, `{"message":"slower"}`, string(x.Response.Body))
	assert.Equal(t, "1", string(x.Response.Header.Get("retry-after")))
	Throttled.Problem().Write(x)
	assert.Equal(t, `{"message":"Too Many Requests"}`, string(x.Response.Body))
	assert.False(t, x.Response.Header.Has("retry-after"))
}

func TestErrorTellsTheOperatorAll(t *testing.T) {
	cause := errors.New("dial tcp: refused")
	err := fmt.Errorf("call upstream: %w", New(IntegrationFailure, cause))
	assert.Equal(t, "call upstream: IntegrationFailure: 504 Network error communicating with endpoint: dial tcp: refused", err.Error())
	assert.ErrorIs(t, err, cause)
	assert.Equal(t, "Throttled: 429 Too Many Requests", Throttled.Problem().Error())
	assert.Equal(t, "THROTTLED", Throttled.ResponseType())
}

func TestEveryCodeIsWhole(t *testing.T) {
	for c := Code(1); int(c) < len(rows); c++ {
		for _, p := range []*Problem{c.Problem(), c.HTTP()} {
			require.Equal(t, c, p.Code)
			require.GreaterOrEqual(t, p.Status, 400, c)
			require.True(t, json.Valid(p.body), c)
		}
	}
	assert.Equal(t, Internal.Problem().Status, Code(255).Status())
}

// A flood of refusals must not feed the collector.
func TestConstantsDoNotAllocate(t *testing.T) {
	x := exchange.Acquire()
	defer x.Release()
	limited := Throttled.Problem().WithHeader("retry-after", "1")
	for name, p := range map[string]*Problem{"429": limited, "401": Unauthorized.Problem(), "403": AccessDenied.HTTP()} {
		p.Write(x) // grows the exchange's memory once
		assert.Zero(t, testing.AllocsPerRun(100, func() { p.Write(x) }), name)
	}
}

func BenchmarkWrite(b *testing.B) {
	x := exchange.Acquire()
	p := Throttled.Problem()
	b.ReportAllocs()
	for b.Loop() {
		p.Write(x)
	}
}
