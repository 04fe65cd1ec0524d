package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
	"github.com/wasmgate/wasmgate/host/internal/problem"
)

// Filter is a plugin that sees whole exchanges instead of deciding hooks, as plugins of
// other projects do. Its methods are safe for concurrent use.
type Filter interface {
	// Open begins one exchange's way through the plugin. An error is the plugin's.
	Open(ctx context.Context, f FilterFacts) (FilterStream, error)
}

// FilterFacts are what a filter may know of an exchange besides its messages.
type FilterFacts struct {
	Exchange *exchange.Exchange
	// Route is the route's key, API the API's id, Host the upstream's authority when that
	// is known before.
	Route, API, Host string
	// Principal is who was authorized; empty is nobody.
	Principal string
}

// FilterLogger is what a [Filter] may be, too: a plugin that keeps a log, and so wants to know
// of requests that were refused before it saw them.
type FilterLogger interface {
	// Log shows the plugin such a request and its answer, when that is out.
	Log(f FilterFacts, h *FilterHead, r *exchange.Response)
}

// FilterStream is one exchange on its way through a filter. It belongs to the exchange's
// goroutine, and may wait in every method but Close for as long as the context lasts.
type FilterStream interface {
	// Request shows the plugin a request, and leaves in h what goes on. [exchange.ErrReplied] says that the
	// plugin answers instead; any other error is a failure of the plugin. A Read of h.Body
	// may return [exchange.ErrReplied], too, an [*exchange.BodyFault] for a failure of the
	// plugin, and the errors of the body that it reads. After an error of Request h.Body is
	// the body as it came, or one that fails: on_error may let the request go on with it.
	Request(ctx context.Context, h *FilterHead) error
	// Response shows the plugin the response, whoever made it, its own reply too, and leaves
	// there what goes out.
	Response(ctx context.Context, r *exchange.Response, about Answered) error
	// Reply writes the answer of a plugin that replied into the response, which is empty.
	Reply(r *exchange.Response)
	// Close ends the stream when the answer is out. It is called once.
	Close(r *exchange.Response)
}

// Answered is what a filter may know of an answer besides itself.
type Answered struct {
	// NoBody says that it has no body whatever its head says (RFC 9110 6.4.1).
	NoBody bool
	// Failed says that the gateway made it, of an error.
	Failed bool
}

// FilterHead is a request as a filter sees it.
type FilterHead struct {
	Method, Scheme, Authority string
	// Target is path and query.
	Target string
	Header *exchange.Header
	// Body is nil when there is none.
	Body io.Reader
	// Length is the announced length of Body, -1 when it is not known.
	Length  int64
	Trailer *exchange.Header
}

// filtering is one filter of a request.
type filtering struct {
	policy *Policy
	stream FilterStream
	body   *filterBody // nil when the filter does not see it
	over   bool        // it failed and is skipped, or did not begin
}

// filterBody is a request's body behind a filter. It keeps the error that ended it, which
// is lost among those of the call to the upstream.
type filterBody struct {
	io.Reader
	inner exchange.Interrupter // nil when it cannot be interrupted
	ended bool
	err   error
}

// Read gives what the filter lets through.
func (b *filterBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil {
		b.ended = true
		if err != io.EOF && b.err == nil {
			b.err = err
		}
	}
	return n, err
}

// Interrupt implements exchange.Interrupter.
func (b *filterBody) Interrupt() {
	if b.inner != nil {
		b.inner.Interrupt()
	}
}

// filterRequest shows the request to all filters, in order.
func (r *request) filterRequest() error {
	for _, p := range r.route.filters {
		if err := r.filterOne(p); err != nil {
			return err
		}
	}
	return nil
}

func (r *request) filterOne(p *Policy) error {
	var start time.Time
	if p.Tally != nil {
		start = time.Now()
	}
	stream, err := p.Filter.Open(r.x.Context, r.filterFacts())
	if err != nil {
		return r.filterFailed(p, err)
	}
	r.filters = append(r.filters, filtering{policy: p, stream: stream})
	f := &r.filters[len(r.filters)-1]
	h := r.filterHead()
	target, client := h.Target, newFilterBody(h.Body)
	if client != nil {
		h.Body = client
	}
	err = stream.Request(r.x.Context, &h)
	if p.Tally != nil {
		p.Tally.took(time.Since(start))
	}
	switch {
	case errors.Is(err, exchange.ErrReplied):
		r.replied(f)
		return errAnswered
	case client != nil && client.err != nil: // no fault of this plugin's
		f.over = true
		return r.filteredBody(bodyProblem(client.err))
	case errors.Is(err, exchange.ErrBodyTooLarge):
		return problem.New(problem.RequestTooLarge, err)
	case err != nil:
		f.over = true
		if err := r.filterFailed(p, err); err != nil {
			return err
		}
		r.replaceBody(client, &h)
		return nil
	}
	p.Tally.decided(false)
	r.takeHead(&h, target)
	f.body = r.replaceBody(client, &h)
	return nil
}

func (r *request) filterFacts() FilterFacts {
	return FilterFacts{Exchange: r.x, Route: r.route.Key, API: r.route.API.ID, Host: r.route.Host, Principal: r.principal}
}

// newFilterBody is a body whose end is to be known; nil is none.
func newFilterBody(body io.Reader) *filterBody {
	if body == nil {
		return nil
	}
	b := &filterBody{Reader: body}
	b.inner, _ = body.(exchange.Interrupter)
	return b
}

// replaceBody makes the body that a filter left that of the request. nil says that it is
// the one that the filter got.
func (r *request) replaceBody(client *filterBody, h *FilterHead) *filterBody {
	switch b, own := h.Body.(*filterBody); {
	case own && b == client, h.Body == nil && client == nil:
		return nil
	case h.Body == nil:
		r.x.SetBody(nil)
		return nil
	}
	b := newFilterBody(h.Body)
	r.x.Wrap(b, h.Length)
	return b
}

// filterHead is the request as it is now.
func (r *request) filterHead() FilterHead {
	x := r.x
	h := FilterHead{Method: r.method, Scheme: "http", Authority: x.Authority, Header: new(exchange.Header), Trailer: &x.Trailer, Length: -1}
	for name, value := range x.Header.All() { // a copy: what a plugin does before it fails is not done
		h.Header.AppendAlias(name, value)
	}
	if x.Conn.TLSVersion != "" {
		h.Scheme = "https"
	}
	if r.authority != "" {
		h.Authority = r.authority
	}
	path := x.Target
	if r.pathSet {
		path = r.path
	}
	switch {
	case r.query != "":
		h.Target = path + "?" + r.query
	case r.emptyQuery:
		h.Target = path + "?"
	default:
		h.Target = path
	}
	if body, length, _ := x.BodyReader(); body != nil {
		h.Body, h.Length = body, length
	}
	return h
}

// takeHead makes a filter's head that of the request. A path that the filter set is what
// the upstream gets.
func (r *request) takeHead(h *FilterHead, target string) {
	r.method = h.Method
	if h.Authority != r.x.Authority || r.authority != "" {
		r.authority = h.Authority
	}
	if h.Target != target {
		path, query, has := strings.Cut(h.Target, "?")
		if old, _, _ := strings.Cut(target, "?"); path != old {
			r.path, r.pathSet = path, true
		}
		r.query, r.emptyQuery, r.paramsParsed = query, has && query == "", false
	}
	r.edited(&r.x.Header, h.Header)
	r.x.Header = *h.Header
}

// edited takes what a policy changed in a header, as edits do: a client must not bring it
// in under a spelling that an upstream takes for the same (CVE-2025-64484), nor as a
// trailer.
func (r *request) edited(before, after *exchange.Header) {
	changed := func(from, in *exchange.Header) {
		for name, value := range from.All() {
			if !slicesContain(in, name, value) {
				r.out.edited = append(r.out.edited, string(name))
			}
		}
	}
	from := len(r.out.edited)
	changed(after, before)
	changed(before, after)
	for _, edited := range r.out.edited[from:] {
		after.DeleteFunc(func(name, value []byte) bool {
			return string(name) != edited && http1.Shadows(name, edited) && slicesContain(before, name, value)
		})
	}
}

func slicesContain(h *exchange.Header, name, value []byte) bool {
	for n, v := range h.All() {
		if bytes.Equal(n, name) && bytes.Equal(v, value) {
			return true
		}
	}
	return false
}

// replied makes a filter's own answer the response.
func (r *request) replied(f *filtering) {
	if s := r.x.Response.Stream; s != nil {
		s.Close()
	}
	r.x.Response.Reset()
	f.stream.Reply(&r.x.Response)
	f.policy.Tally.decided(r.x.Response.Status >= 400)
	r.reason = "plugin " + f.policy.Name + " replied"
}

// filteredBody gives the bodies that nobody has read to the filters, whose verdict may
// depend on them, and finds what ended one that was read.
func (r *request) filteredBody(err error) error {
	if err == nil && !r.upstream.called {
		err = r.drainFiltered()
	}
	for i := range r.filters {
		f := &r.filters[i]
		if f.body == nil {
			continue
		}
		switch e := f.body.err; {
		case errors.Is(e, exchange.ErrReplied):
			r.replied(f)
			return errAnswered
		case e == nil, errors.Is(e, exchange.ErrInterrupted), r.x.Context.Err() != nil:
		default:
			if _, ok := errors.AsType[*exchange.BodyFault](e); ok {
				f.over = true
				if p := r.filterFailed(f.policy, e); p != nil {
					return p
				}
				return problem.New(problem.PluginFailure, e) // a body that is cut cannot be skipped
			}
		}
	}
	return err
}

// drainFiltered reads a body that nobody wanted through the filters.
func (r *request) drainFiltered() error {
	for i := len(r.filters) - 1; i >= 0; i-- {
		if b := r.filters[i].body; b != nil {
			if b.ended {
				return nil
			}
			_, err := io.Copy(io.Discard, b)
			return err
		}
	}
	return nil
}

// filterResponse shows the response to the filters that saw the request, the last first.
func (r *request) filterResponse() error {
	for i := len(r.filters) - 1; i >= 0; i-- {
		f := &r.filters[i]
		if f.over {
			continue
		}
		resp := &r.x.Response
		upstream := &answerBody{ReadCloser: resp.Stream}
		if resp.Stream != nil {
			resp.Stream = upstream
		}
		err := f.stream.Response(r.x.Context, resp, Answered{Failed: r.problem != nil,
			NoBody: r.x.Method == "HEAD" || resp.Status == 204 || resp.Status == 304})
		if resp.Stream == upstream {
			resp.Stream = upstream.ReadCloser
		}
		switch {
		case errors.Is(err, exchange.ErrReplied):
			r.replied(f)
		case err != nil && upstream.err != nil, errors.Is(err, exchange.ErrBodyTooLarge):
			r.fail(problem.New(problem.BadGateway, fmt.Errorf("plugin %q: %w", f.policy.Name, err)))
		case err != nil:
			f.over = true
			if err := r.filterFailed(f.policy, err); err != nil {
				r.fail(err) // the filters before it see that
			}
		}
	}
	return nil
}

// answerBody is an answer's body as a filter gets it, with the error that ended it.
type answerBody struct {
	io.ReadCloser
	err error
}

// Read implements io.Reader.
func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// Interrupt implements exchange.Interrupter.
func (b *answerBody) Interrupt() {
	if i, ok := b.ReadCloser.(exchange.Interrupter); ok {
		i.Interrupt()
	}
}

// filterFailed is failed for a filter.
func (r *request) filterFailed(p *Policy, err error) error {
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		return p
	}
	if r.x.Context.Err() != nil {
		return problem.New(problem.RequestTimeout, err)
	}
	r.reason = err.Error()
	p.Tally.failed()
	r.p.observer.PluginFailed(p.Name, "filter")
	r.p.log.Warn("plugin failed", "plugin", p.Name, "hook", "filter",
		"route", r.route.Key, "api", r.route.API.ID, "request_id", string(r.x.ID[:]), "error", err)
	switch p.OnError {
	case onErrorSkip:
		return nil
	case onErrorDeny:
		return problem.New(problem.AccessDenied, err)
	}
	return failure(problem.PluginFailure, err)
}

// closeFilters ends the filters' streams, and shows the request to those that it did not reach.
func (r *request) closeFilters() {
	for i := len(r.filters) - 1; i >= 0; i-- {
		r.filters[i].stream.Close(&r.x.Response)
	}
	if r.route == nil || r.preflight {
		return
	}
	for _, p := range r.route.filters {
		l, ok := p.Filter.(FilterLogger)
		if ok && !slices.ContainsFunc(r.filters, func(f filtering) bool { return f.policy == p }) {
			h := r.filterHead()
			l.Log(r.filterFacts(), &h, &r.x.Response)
		}
	}
}
