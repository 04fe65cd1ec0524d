package pipeline

import (
	"errors"
	"fmt"
	"io"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/problem"
)

// call is one question to a guest: it encodes the request and decodes the plan.
type call struct {
	r    *request
	step *step
	plan *plan
	w    abi.Writer[abi.Field]

	body, respBody           []byte
	truncated, respTruncated bool
	now                      time.Time // of observe
}

// Decode reads the guest's answer.
func (c *call) Decode(result []byte) error { return c.plan.decode(c.step.hook, result) }

// keepOrigin keeps the header of a request that is recorded, from which policies may remove
// credentials that others have copied elsewhere by then.
func (r *request) keepOrigin() {
	if r.route.recorded {
		r.origin = new(exchange.Header)
		r.x.Header.CopyTo(r.origin)
	}
}

// Origin is the request as it came in, for who records the call: its id, its raw query, and
// by field its header and path parameters.
func (c *call) Origin(field func(of string, name, value []byte)) (id, query string) {
	r := c.r
	if r.origin != nil {
		for name, value := range r.origin.All() {
			field("header", name, value)
		}
	}
	for _, p := range r.pathParams() {
		field("path_param", []byte(p.Name), []byte(p.Value))
	}
	return string(r.x.ID[:]), string([]byte(r.x.Query))
}

// readBodies takes what the hook wants of the bodies into memory, before the guest is
// taken out of its pool: a slow client must not hold one.
func (r *request) readBodies(s *step) error {
	c := &r.call
	c.body, c.respBody, c.truncated, c.respTruncated = nil, nil, false, false
	if need := s.mask.Body; s.mask.Has(abi.FieldBody) && need.Mode != abi.BodyNone {
		body, complete, err := r.x.Prefix(need.Max)
		switch {
		case err != nil:
			return bodyProblem(err)
		case !complete && need.Mode == abi.BodyFull:
			return problem.New(problem.RequestTooLarge, fmt.Errorf("body is longer than the %d bytes that plugin %q takes", need.Max, s.policy.Name))
		}
		c.body, c.truncated = body, !complete
	}
	if need := s.mask.ResponseBody; s.mask.Has(abi.FieldResponseBody) && need.Mode != abi.BodyNone {
		body, complete, err := r.responsePrefix(need.Max)
		switch {
		case err != nil:
			return problem.New(problem.BadGateway, fmt.Errorf("read response for plugin %q: %w", s.policy.Name, err))
		case !complete && need.Mode == abi.BodyFull:
			return problem.New(problem.BadGateway, fmt.Errorf("response is longer than the %d bytes that plugin %q takes", need.Max, s.policy.Name))
		}
		c.respBody, c.respTruncated = body, !complete
	}
	return nil
}

// bodyProblem is what an unreadable request body costs.
func bodyProblem(err error) error {
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		return p
	}
	if errors.Is(err, exchange.ErrBodyTooLarge) {
		return problem.New(problem.RequestTooLarge, err)
	}
	return problem.New(problem.BadRequest, err)
}

// responsePrefix takes at most max bytes of a streaming response into memory.
func (r *request) responsePrefix(max int) ([]byte, bool, error) {
	resp := &r.x.Response
	if resp.Stream == nil {
		if len(resp.Body) > max {
			return resp.Body[:max], false, nil
		}
		return resp.Body, true, nil
	}
	if r.x.Method == "HEAD" {
		return nil, true, nil
	}
	head, err := io.ReadAll(io.LimitReader(resp.Stream, int64(max)+1))
	if err != nil {
		return nil, false, err
	}
	if len(head) <= max {
		resp.SetBody(head)
		return head, true, nil
	}
	resp.Stream = &resumed{head: head, Closer: resp.Stream, rest: resp.Stream}
	return head[:max], false, nil
}

// resumed is a stream whose head was read.
type resumed struct {
	head []byte
	rest io.Reader
	io.Closer
}

// Read gives the head, then the rest.
func (s *resumed) Read(p []byte) (int, error) {
	if len(s.head) > 0 {
		n := copy(p, s.head)
		s.head = s.head[n:]
		return n, nil
	}
	return s.rest.Read(p)
}

// Encode writes what the hook's mask asks for, in the order of the field ids.
func (c *call) Encode(scratch []byte) (int, error) {
	m := &c.step.mask
	c.w.Start(scratch, c.step.hook, m.Fields.Len())
	for f := range m.Fields.All() {
		if f.In(c.step.hook) {
			c.field(f, m)
		}
	}
	return c.w.Finish()
}

func (c *call) field(f abi.Field, m *abi.Mask) {
	r, x, w := c.r, c.r.x, &c.w
	switch f {
	case abi.FieldRequestID:
		w.Bytes(f, x.ID[:])
	case abi.FieldTimeMS:
		w.Uint(f, uint64(x.Start.UnixMilli()))
	case abi.FieldSeed:
		w.Uint(f, x.Seed)
	case abi.FieldHeaders:
		c.headers(f, &x.Header, m.WantsHeader)
	case abi.FieldQueryParams:
		c.pairs(f, r.queryParams(), m)
	case abi.FieldPathParams:
		w.BeginPairs(f)
		for _, p := range r.pathParams() {
			w.PairStrings(p.Name, p.Value)
		}
		w.EndPairs()
	case abi.FieldStageVariables:
		w.BeginPairs(f)
		for name, value := range r.route.API.StageVariables {
			w.PairStrings(name, value)
		}
		w.EndPairs()
	case abi.FieldSourcePort:
		w.Uint(f, uint64(x.Remote.Port()))
	case abi.FieldContext:
		c.pairs(f, r.context, nil)
	case abi.FieldBody:
		w.Bytes(f, c.body)
	case abi.FieldBodyTruncated:
		w.Uint(f, bit(c.truncated))
	case abi.FieldBodyLength:
		if x.BodyLength >= 0 {
			w.Uint(f, uint64(x.BodyLength))
		}
	case abi.FieldState:
		if state := r.stateOf(c.step.policy); state != nil {
			w.Bytes(f, state)
		}
	case abi.FieldIntegration:
		if r.route.Integration != nil {
			w.Bytes(f, r.route.Integration)
		}
	default:
		if f >= abi.FieldStatus && f <= abi.FieldErrorType {
			c.responseField(f, m)
		} else {
			c.textField(f)
		}
	}
}

// textField writes the fields that are one plain string, when there is one.
func (c *call) textField(f abi.Field) {
	r, x := c.r, c.r.x
	var s string
	switch f {
	case abi.FieldAPIID:
		s = r.route.API.ID
	case abi.FieldStage:
		s = r.route.API.Stage
	case abi.FieldRoute:
		s = r.route.Key
	case abi.FieldResourcePath:
		s = r.route.Path
	case abi.FieldMethod:
		s = r.method
	case abi.FieldScheme:
		s = "https"
	case abi.FieldAuthority:
		s = x.Authority
	case abi.FieldPath:
		s = r.path
	case abi.FieldQuery:
		s = r.query
	case abi.FieldSourceIP:
		s = r.sourceIP()
	case abi.FieldProtocol:
		s = x.Conn.Protocol
	case abi.FieldTLSVersion:
		s = x.Conn.TLSVersion
	case abi.FieldTLSServerName:
		s = x.Conn.ServerName
	case abi.FieldPrincipal:
		s = r.principal
	case abi.FieldAPIKeyID:
		s = r.apiKeyID
	case abi.FieldUsagePlanID:
		s = r.usagePlanID
	case abi.FieldRequestPath:
		s = x.Target
	}
	if s != "" {
		c.w.String(f, s)
	}
}

func (c *call) responseField(f abi.Field, m *abi.Mask) {
	r, w, resp := c.r, &c.w, &c.r.x.Response
	switch f {
	case abi.FieldStatus:
		w.Uint(f, uint64(resp.Status))
	case abi.FieldResponseHeaders:
		c.headers(f, &resp.Header, m.WantsResponseHeader)
	case abi.FieldResponseBody:
		w.Bytes(f, c.respBody)
	case abi.FieldResponseBodyTruncated:
		w.Uint(f, bit(c.respTruncated))
	case abi.FieldResponseLength:
		w.Uint(f, uint64(resp.Sent))
	case abi.FieldResponseLatencyUS:
		w.Uint(f, uint64(max(c.now.Sub(r.x.Start).Microseconds(), 0)))
	case abi.FieldIntegrationLatencyUS:
		if r.upstream.called {
			w.Uint(f, uint64(r.upstream.took.Microseconds()))
		}
	case abi.FieldIntegrationStatus:
		if r.upstream.status != 0 {
			w.Uint(f, uint64(r.upstream.status))
		}
	case abi.FieldCacheStatus:
		if r.cacheStatus != "" {
			w.String(f, r.cacheStatus)
		}
	case abi.FieldErrorType:
		if r.problem != nil {
			w.String(f, r.problem.ErrorType())
		}
	}
}

func (c *call) headers(f abi.Field, h *exchange.Header, wanted func([]byte) bool) {
	c.w.BeginPairs(f)
	for i := range h.Len() {
		if field := h.At(i); wanted(field.Name) {
			c.w.Pair(field.Name, field.Value)
		}
	}
	c.w.EndPairs()
}

func (c *call) pairs(f abi.Field, pairs []pair, m *abi.Mask) {
	c.w.BeginPairs(f)
	for _, p := range pairs {
		if m == nil || m.QueryParams == nil || m.WantsQueryParam([]byte(p.name)) {
			c.w.PairStrings(p.name, p.value)
		}
	}
	c.w.EndPairs()
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
