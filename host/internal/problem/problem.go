package problem

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// Code says which problem it is.
type Code uint8

// row is what codes.json says of a code.
type row struct {
	name         string
	status       int
	typ          string
	member       string
	message      string
	httpMessage  string
	responseType string
}

// constants are the problems without a cause, of REST and of HTTP APIs: a flood of
// refusals must cost neither allocation nor encoding.
var constants = func() (t [2][len(rows)]Problem) {
	for i := 1; i < len(rows); i++ {
		r := &rows[i]
		for kind, message := range []string{r.message, r.httpMessage} {
			p := &t[kind][i]
			*p = Problem{Code: Code(i), Status: r.status, Type: r.typ, Message: message}
			member := r.member
			if kind == 1 {
				member = "message" // HTTP APIs never write "Message"
			}
			p.body, p.rendered = render(member, message), message
		}
	}
	return t
}()

// String is the code's name, as logs and metrics show it.
func (c Code) String() string { return c.row().name }

// Status is the HTTP status.
func (c Code) Status() int { return c.row().status }

// ResponseType is Amazon's name of the gateway response, $context.error.responseType.
func (c Code) ResponseType() string { return c.row().responseType }

// Problem is c without a cause, with a REST API's message. It is shared: change a copy.
func (c Code) Problem() *Problem { return &constants[0][c.index()] }

// HTTP is c without a cause, with an HTTP API's message. It is shared: change a copy.
func (c Code) HTTP() *Problem { return &constants[1][c.index()] }

func (c Code) row() *row { return &rows[c.index()] }

// index turns what is no code into Internal: an unknown error must not become status 0.
func (c Code) index() Code {
	if c == 0 || int(c) >= len(rows) {
		return Internal
	}
	return c
}

// Problem is an error that a client sees. Make one with [New] or [Code.Problem]; the
// fields may be changed before it is shared.
type Problem struct {
	Code Code
	// Status is the HTTP status; 0 is the code's.
	Status int
	// Type is the value of x-amzn-ErrorType; empty is the code's.
	Type string
	// Message is what the client reads; empty is the code's.
	Message string
	// Header is sent beside the others, such as retry-after; names are lower case.
	Header []exchange.Field
	// Cause is for the operator and never sent; may be nil.
	Cause error

	body     []byte // the rendered form of rendered
	rendered string // the Message that body tells
}

// New is a problem with a cause for the operator, which may be nil.
func New(code Code, cause error) *Problem {
	p := *code.Problem()
	p.Cause = cause
	return &p
}

// WithMessage is a copy of p that tells the client message.
func (p *Problem) WithMessage(message string) *Problem {
	q := *p
	q.Message, q.body, q.rendered = message, render(q.Code.row().member, message), message
	return &q
}

// WithHeader is a copy of p with one more field; name is lower case.
func (p *Problem) WithHeader(name, value string) *Problem {
	q := *p
	q.Header = append(q.Header[:len(q.Header):len(q.Header)], exchange.Field{Name: []byte(name), Value: []byte(value)})
	return &q
}

// ForHTTP is p as an HTTP API tells it: with that kind's message, unless the message
// was changed.
func (p *Problem) ForHTTP() *Problem {
	rest, http := p.Code.Problem(), p.Code.HTTP()
	if p == rest {
		return http
	}
	q := *p
	if p.Message == "" || p.Message == rest.Message {
		q.Message = http.Message
	}
	q.body, q.rendered = render("message", q.Message), q.Message
	return &q
}

// Error is the whole chain, for the operator.
func (p *Problem) Error() string {
	if p.Cause == nil {
		return fmt.Sprintf("%s: %d %s", p.Code, p.status(), p.message())
	}
	return fmt.Sprintf("%s: %d %s: %v", p.Code, p.status(), p.message(), p.Cause)
}

// Unwrap is the cause.
func (p *Problem) Unwrap() error { return p.Cause }

// Write makes p the response of x, in the place of what was there; only
// CloseConnection is kept.
func (p *Problem) Write(x *exchange.Exchange) {
	r := &x.Response
	if r.Stream != nil {
		r.Stream.Close()
	}
	closing := r.CloseConnection
	r.Reset()
	r.CloseConnection = closing
	r.Status = p.status()
	r.Header.AppendAlias(nameContentType, valueJSON)
	r.Header.AppendAlias(nameRequestID, x.ID[:])
	r.Header.Add("x-amzn-errortype", cmp.Or(p.Type, p.Code.row().typ))
	for _, f := range p.Header {
		r.Header.AppendAlias(f.Name, f.Value)
	}
	body, message := p.body, p.message()
	if body == nil || message != p.rendered {
		body = render(p.Code.row().member, message)
	}
	r.SetBody(body)
}

var (
	nameContentType = []byte("content-type")
	nameRequestID   = []byte("x-amzn-requestid")
	valueJSON       = []byte("application/json")
)

// Write makes err the response of x: the [Problem] in its chain, or Internal, so that
// nothing of another error reaches the client. It returns what it wrote.
func Write(x *exchange.Exchange, err error) *Problem {
	p := From(err)
	p.Write(x)
	return p
}

// From is the [Problem] in err's chain, or an Internal one with err as its cause; a nil
// err is Internal too.
func From(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok && p != nil {
		return p
	}
	return New(Internal, err)
}

func (p *Problem) status() int { return cmp.Or(p.Status, p.Code.Status()) }

func (p *Problem) message() string { return cmp.Or(p.Message, p.Code.row().message) }

func render(member, message string) []byte {
	m, err := json.Marshal(message)
	if err != nil {
		panic("render problem: " + err.Error()) // a string always has JSON
	}
	return fmt.Appendf(nil, `{"%s":%s}`, member, m)
}

// ForStatus is the code that stands for a status chosen by a plugin or an upstream: the
// first one of that status in codes.json, BadRequest for other 4xx and Internal for the rest.
func ForStatus(status int) Code {
	for c := Code(1); int(c) < len(rows); c++ {
		if rows[c].status == status {
			return c
		}
	}
	if status >= 400 && status < 500 {
		return BadRequest
	}
	return Internal
}

// ErrorType is the value of x-amzn-ErrorType.
func (p *Problem) ErrorType() string { return cmp.Or(p.Type, p.Code.row().typ) }
