package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/pipeline"
)

// filter is a plugin that sees whole exchanges, written in Go. It tells what it was shown.
type filter struct {
	name     string
	told     *[]string
	request  func(h *pipeline.FilterHead) error
	response func(r *exchange.Response, about pipeline.Answered) error
	reply    string
}

func (f *filter) tell(s string) {
	if f.told != nil {
		*f.told = append(*f.told, f.name+" "+s)
	}
}

func (f *filter) Open(context.Context, pipeline.FilterFacts) (pipeline.FilterStream, error) {
	f.tell("open")
	return f, nil
}

func (f *filter) Request(_ context.Context, h *pipeline.FilterHead) error {
	f.tell("request " + h.Method + " " + h.Target)
	if f.request == nil {
		return nil
	}
	return f.request(h)
}

func (f *filter) Response(_ context.Context, r *exchange.Response, about pipeline.Answered) error {
	if f.tell("response"); about.Failed {
		f.tell("failed")
	}
	if f.response == nil {
		return nil
	}
	return f.response(r, about)
}

func (f *filter) Reply(r *exchange.Response) {
	r.Status = 299
	r.SetBody([]byte(f.reply))
}

func (f *filter) Close(*exchange.Response) { f.tell("close") }

func (b *bench) filters(onError string, filters ...*filter) {
	var list []*pipeline.Policy
	for _, f := range filters {
		list = append(list, b.policy(pipeline.Policy{Filter: f, Name: f.name, OnError: onError}))
	}
	b.serve(append(list, b.policy(pipeline.Policy{Plugin: callUpstream(), Name: "up"}))...)
}

func TestFiltersInOrder(t *testing.T) {
	var told []string
	b := newBench(t)
	b.filters("", &filter{name: "a", told: &told, request: func(h *pipeline.FilterHead) error {
		h.Method, h.Target, h.Authority = "POST", "/changed%2F?", "other.test"
		h.Header.Set("x-user", "filter")
		return nil
	}}, &filter{name: "b", told: &told})
	a := b.ask(question{query: "q=1", header: []string{"x-user", "client", "x_user", "shadow", "x-kept", "1"}})
	require.Equal(t, 200, a.status)
	assert.Equal(t, "a open, a request GET /x?q=1, b open, b request POST /changed%2F?, b response, a response, b close, a close", strings.Join(told, ", "))
	assert.Equal(t, "POST /changed%2F? other.test", b.up.last.Method+" "+b.up.last.Target+" "+b.up.last.Authority)
	assert.Equal(t, map[string]string{"x-user": "filter", "x-kept": "1"}, b.up.header, "no other spelling of what the filter set")
}

func TestFilterReplies(t *testing.T) {
	var told []string
	b := newBench(t)
	b.filters("", &filter{name: "a", told: &told}, &filter{name: "b", told: &told, reply: "mine", request: func(*pipeline.FilterHead) error { return exchange.ErrReplied }},
		&filter{name: "c", told: &told})
	a := b.ask(question{})
	assert.Equal(t, 299, a.status)
	assert.Equal(t, "mine", a.body)
	assert.Zero(t, b.up.calls.Load())
	assert.Equal(t, "a open, a request GET /x, b open, b request GET /x, b response, a response, b close, a close", strings.Join(told, ", "))
	b.filters("", &filter{name: "a", reply: "instead", response: func(*exchange.Response, pipeline.Answered) error { return exchange.ErrReplied }})
	assert.Equal(t, "instead", b.ask(question{}).body)
}

func TestFilterFails(t *testing.T) {
	broken := errors.New("trap")
	for onError, status := range map[string]int{"": 500, "fail": 500, "deny": 403, "skip": 200} {
		b := newBench(t)
		b.filters(onError, &filter{name: "a", request: func(h *pipeline.FilterHead) error {
			// It has read a part and puts it back, as it must.
			part := make([]byte, 3)
			_, err := io.ReadFull(h.Body, part)
			require.NoError(t, err)
			h.Body = io.MultiReader(strings.NewReader(string(part)), h.Body)
			return broken
		}})
		require.Equal(t, status, b.ask(question{method: "POST", body: "a longer body"}).status, onError)
		if status == 200 {
			assert.Equal(t, "a longer body", b.up.body)
		} else {
			assert.Zero(t, b.up.calls.Load())
		}
		b.filters(onError, &filter{name: "a", response: func(*exchange.Response, pipeline.Answered) error { return broken }})
		require.Equal(t, status, b.ask(question{}).status, onError)
	}
}

// A later filter is told that the answer is the gateway's.
func TestFilterSeesThatTheGatewayAnswered(t *testing.T) {
	var told []string
	b := newBench(t)
	b.filters("", &filter{name: "a", told: &told}, &filter{name: "b", request: func(*pipeline.FilterHead) error { return errors.New("trap") }})
	require.Equal(t, 500, b.ask(question{}).status)
	assert.Equal(t, "a open, a request GET /x, a response, a failed, a close", strings.Join(told, ", "))
}

func TestFilterReplacesBodies(t *testing.T) {
	b := newBench(t)
	b.filters("", &filter{name: "a", request: func(h *pipeline.FilterHead) error {
		if h.Body == nil {
			h.Body, h.Length = strings.NewReader("made"), 4
		} else {
			h.Body, h.Length = nil, 0
		}
		return nil
	}})
	b.ask(question{})
	assert.Equal(t, "made", b.up.body)
	b.up.body = ""
	b.ask(question{method: "POST", body: "sent"})
	assert.Equal(t, "", b.up.body, "an emptied body is none")
	assert.EqualValues(t, 2, b.up.calls.Load())
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
func (failing) Close() error               { return nil }

// What client or upstream break off is no failure of the filter that reads it.
func TestFilterIsNotBlamedForBodies(t *testing.T) {
	read := func(r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	b := newBench(t)
	b.filters("deny", &filter{name: "a", request: func(h *pipeline.FilterHead) error {
		if h.Body == nil {
			return nil
		}
		return read(h.Body)
	}, response: func(r *exchange.Response, _ pipeline.Answered) error {
		if r.Stream == nil {
			return nil
		}
		return read(r.Stream)
	}})
	for err, status := range map[error]int{errors.New("broke off"): 400, exchange.ErrBodyTooLarge: 413} {
		x := b.exchange()
		x.Method, x.Body, x.BodyLength = "POST", failing{err}, -1
		b.p.ServeExchange(x)
		assert.Equal(t, status, x.Response.Status)
		b.p.FinishExchange(x, nil)
	}
	b.up.answer = func(x *exchange.Exchange) {
		x.Response.Status, x.Response.Stream, x.Response.Length = 200, failing{errors.New("broke off")}, -1
	}
	assert.Equal(t, 502, b.ask(question{}).status)
}

// Two authorities that a filter makes of one are two entries of the cache; another method is
// none.
func TestFilterAndCache(t *testing.T) {
	b := newBench(t)
	cached := on(abi.HookCacheKey, func(_ in, w out) {
		scope(w, abi.ScopeRoute)
		w.Value(abi.ResultCacheKey, abi.Value(nil).Literal(""))
		w.Uint(abi.ResultCacheTTLMS, 60_000)
	})
	f := b.policy(pipeline.Policy{Name: "a", Filter: &filter{name: "a", request: func(h *pipeline.FilterHead) error {
		h.Authority = string(h.Header.Get("x-tenant"))
		if m := h.Header.Get("x-method"); m != nil {
			h.Method = string(m)
		}
		return nil
	}}})
	b.serve(f, b.policy(pipeline.Policy{Plugin: cached, Name: "cache"}), b.policy(pipeline.Policy{Plugin: callUpstream(), Name: "up"}))
	for _, c := range []struct {
		header []string
		calls  int
	}{
		{[]string{"x-tenant", "a.test"}, 1}, {[]string{"x-tenant", "a.test"}, 1}, {[]string{"x-tenant", "b.test"}, 2}, {[]string{"x-tenant", "b.test"}, 2},
		{[]string{"x-tenant", "a.test", "x-method", "POST"}, 3}, {[]string{"x-tenant", "a.test", "x-method", "POST"}, 4}, {[]string{"x-tenant", "a.test"}, 4},
	} {
		require.Equal(t, 200, b.ask(question{header: c.header}).status)
		assert.EqualValues(t, c.calls, b.up.calls.Load(), "%v", c.header)
	}
}

// logFilter is a filter that keeps a log.
type logFilter struct{ *filter }

func (f logFilter) Log(facts pipeline.FilterFacts, h *pipeline.FilterHead, r *exchange.Response) {
	f.tell(fmt.Sprint("log ", facts.Route, " ", h.Method, " ", h.Target, " ", r.Status))
}

// A request that is refused before a filter's turn, or by a filter before it, is shown to one
// that keeps a log.
func TestFilterLogsWhatItDidNotSee(t *testing.T) {
	var told []string
	b := newBench(t)
	refuse := false
	guard := on(abi.HookGuard, func(_ in, w out) {
		if refuse {
			w.Uint(abi.ResultDecision, uint64(abi.DecisionDeny))
		}
	})
	replies := &filter{name: "a", told: &told, request: func(*pipeline.FilterHead) error { return exchange.ErrReplied }}
	logs := logFilter{&filter{name: "b", told: &told}}
	b.serve(b.policy(pipeline.Policy{Plugin: guard, Name: "guard"}), b.policy(pipeline.Policy{Filter: replies, Name: "a"}),
		b.policy(pipeline.Policy{Filter: logs, Name: "b"}), b.policy(pipeline.Policy{Plugin: callUpstream(), Name: "up"}))
	ask := func() string {
		told = nil
		b.ask(question{query: "q"})
		return strings.Join(told, ", ")
	}
	assert.Equal(t, "a open, a request GET /x?q, a response, a close, b log GET /x GET /x?q 299", ask())
	refuse = true
	assert.Equal(t, "b log GET /x GET /x?q 403", ask())
}
