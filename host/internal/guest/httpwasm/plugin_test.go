package httpwasm_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/guest/httpwasm"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// compile compiles a module in an engine of its own.
func compile(t testing.TB, wasm []byte, o guest.Options) (*guest.Engine, *guest.Module, error) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.ABIs = []*guest.ABI{httpwasm.ABI()}
	e, err := guest.New(context.Background(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close(context.Background())) })
	m, err := e.Compile(context.Background(), "x", wasm)
	return e, m, err
}

// bind makes a plugin of a module.
func bind(t testing.TB, wasm []byte, b httpwasm.Binding, o guest.Options) *httpwasm.Plugin {
	t.Helper()
	e, m, err := compile(t, wasm, o)
	require.NoError(t, err)
	defer m.Release()
	b.Name = "x"
	p, err := httpwasm.Bind(context.Background(), e, m, b)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

// message is a request or an answer for tests.
type message struct {
	method, target, body string
	status               int
	header, trailer      []string
	chunked              bool // the body comes in pieces of 3 bytes, without a length
}

// pieces is a body that comes in small pieces; its trailers come with its end.
type pieces struct {
	io.Reader
	end func()
}

func (p pieces) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b[:min(3, len(b))])
	if err == io.EOF && p.end != nil {
		p.end()
	}
	return n, err
}

func (pieces) Close() error { return nil }

func fill(h *exchange.Header, fields []string) {
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		h.Add(name, value)
	}
}

func (m message) request() *httpwasm.Request {
	r := &httpwasm.Request{Method: m.method, Target: m.target, Authority: "api.test", Header: &exchange.Header{}, Trailer: &exchange.Header{}, Length: -1}
	if r.Method == "" {
		r.Method = "GET"
	}
	if r.Target == "" {
		r.Target = "/"
	}
	fill(r.Header, m.header)
	if m.chunked {
		r.Body = pieces{strings.NewReader(m.body), func() { fill(r.Trailer, m.trailer) }}
	} else if m.body != "" {
		r.Body, r.Length = strings.NewReader(m.body), int64(len(m.body))
	}
	return r
}

func (m message) response() *exchange.Response {
	r := &exchange.Response{Status: m.status, Length: -1}
	if r.Status == 0 {
		r.Status = 200
	}
	fill(&r.Header, m.header)
	if m.chunked {
		r.Stream = pieces{strings.NewReader(m.body), func() { fill(&r.Trailer, m.trailer) }}
	} else {
		r.SetBody([]byte(m.body))
	}
	return r
}

func told(h *exchange.Header) (out []string) {
	for name, value := range h.All() {
		out = append(out, string(name)+": "+string(value))
	}
	return out
}

// sent is what goes upstream of a request.
func sent(t testing.TB, r *httpwasm.Request) message {
	t.Helper()
	m := message{method: r.Method, target: r.Target, chunked: r.Length < 0 && r.Body != nil}
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		m.body = string(b)
		if r.Length >= 0 {
			require.EqualValues(t, len(b), r.Length)
		}
	}
	m.header, m.trailer = told(r.Header), told(r.Trailer)
	return m
}

// answered is what goes to the client of an answer.
func answered(t testing.TB, r *exchange.Response) message {
	t.Helper()
	m := message{status: r.Status, body: string(r.Body), chunked: r.Stream != nil}
	if r.Stream != nil {
		b, err := io.ReadAll(r.Stream)
		require.NoError(t, err)
		require.NoError(t, r.Stream.Close())
		m.body = string(b)
		if r.Length >= 0 {
			require.EqualValues(t, len(b), r.Length)
		}
	} else {
		require.EqualValues(t, len(r.Body), r.Length)
	}
	m.header, m.trailer = told(&r.Header), told(&r.Trailer)
	return m
}

var facts = httpwasm.Facts{Protocol: "HTTP/2.0", Source: netip.MustParseAddrPort("[2001:db8::1]:4711")}

// pass takes a request through a plugin, and the upstream's answer unless the guest answers.
func pass(t testing.TB, p *httpwasm.Plugin, request, response message) (upstream, client message) {
	t.Helper()
	s := p.Open(facts)
	defer s.Close()
	r := request.request()
	err := s.ServeRequest(context.Background(), r)
	if errors.Is(err, exchange.ErrReplied) {
		var own exchange.Response
		s.Reply(&own)
		require.NoError(t, s.ServeResponse(context.Background(), &own, false, false), "a guest that answered is not asked again")
		return message{}, answered(t, &own)
	}
	require.NoError(t, err)
	upstream = sent(t, r)
	answer := response.response()
	require.NoError(t, s.ServeResponse(context.Background(), answer, false, false))
	return upstream, answered(t, answer)
}

var nowhere = []byte{}

func TestRequestIsReadAndChanged(t *testing.T) {
	h := NewHandler()
	p := bind(t, h.Build(Cat(
		h.Tell("x-method", "get_method"), h.Tell("x-uri", "get_uri"), h.Tell("x-protocol", "get_protocol_version"),
		h.Tell("x-source", "get_source_addr"), h.Tell("x-config", "get_config"),
		h.Call("set_method", h.Text("DELETE")), h.Call("set_uri", I32Const(0), I32Const(0)), h.Tell("x-empty", "get_uri"),
		h.Call("set_uri", h.Text("/b%2Fc?d=%20&&e")),
		h.Call("set_header_value", I32Const(0), h.Text("X-Set"), h.Text(" one ")),
		h.Call("add_header_value", I32Const(0), h.Text("x-ADD"), h.Text("2")),
		h.Call("remove_header", I32Const(0), h.Text("X-Gone")),
		h.Call("set_header_value", I32Const(0), h.Text("Content-Length"), h.Text("7")),
		h.Call("set_header_value", I32Const(0), h.Text("Transfer-Encoding"), h.Text("chunked")),
		Go(0)), nowhere), httpwasm.Binding{Config: []byte("c\xffnfig")}, guest.Options{})
	up, client := pass(t, p, message{method: "TRACE", target: "/a%2f?", header: []string{"x-set: 0", "x-gone: a", "x-set: 1", "x-add: 1", "x-gone: b"}},
		message{header: []string{"x-method: upstream"}})
	assert.Equal(t, message{method: "DELETE", target: "/b%2Fc?d=%20&&e", header: []string{"x-set: one", "x-add: 1", "x-add: 2"}}, up)
	assert.Equal(t, []string{"x-method: upstream", "x-method: TRACE", "x-uri: /a%2f?", "x-protocol: HTTP/2.0", "x-source: [2001:db8::1]:4711",
		"x-config: c\xffnfig", "x-empty: /"}, client.header, "what was set before is beside the upstream's")
}

func TestHeadersAreListed(t *testing.T) {
	h := NewHandler()
	p := bind(t, h.Build(Cat(
		h.Write(1, "get_header_names", I32Const(0)),
		h.Write(1, "get_header_values", I32Const(0), h.Text("X-Two")),
		h.Write(1, "get_header_values", I32Const(0), h.Text("HOST")),
		h.Write(1, "get_header_values", I32Const(0), h.Text("content-length")),
		h.Write(1, "get_header_values", I32Const(0), h.Text("x-none")),
		Stop()), nowhere), httpwasm.Binding{}, guest.Options{})
	_, client := pass(t, p, message{body: "12345", header: []string{"x-two: a", "x-one: ", "x-two: b"}}, message{})
	assert.Equal(t, "host\x00x-two\x00x-one\x00content-length\x00"+"a\x00b\x00"+"api.test\x00"+"5\x00", client.body)
}

// A limit below the length writes nothing and gives the true length.
func TestLimitBelowTheLength(t *testing.T) {
	h := NewHandler()
	seven := func(code []byte) []byte { // traps unless the length is 7
		return Cat(code, I32Const(7), []byte{0x47}, If(Empty, Unreachable))
	}
	h.Data(Room, []byte("untouched"))
	p := bind(t, h.Build(Cat(
		seven(h.Call("get_uri", I32Const(Room), I32Const(6))),
		seven(h.Call("get_uri", I32Const(-1), I32Const(6))), // nor is the place looked at
		seven(Cat(h.Call("get_header_values", I32Const(0), h.Text("x-v"), I32Const(Room), I32Const(6)), []byte{0xa7})),
		h.Call("write_body", I32Const(1), I32Const(Room), I32Const(9)),
		Stop()), nowhere), httpwasm.Binding{}, guest.Options{})
	_, client := pass(t, p, message{target: "/123456", header: []string{"x-v: 123456"}}, message{})
	assert.Equal(t, "untouched", client.body)
}

func TestRequestBodyThatWasReadGoesOn(t *testing.T) {
	body := strings.Repeat("0123456789", 500)
	for name, chunked := range map[string]bool{"of known length": false, "in pieces": true} {
		t.Run(name, func(t *testing.T) {
			h := NewHandler()
			some := NewHandler()
			request := message{method: "POST", body: body, chunked: chunked}
			up, client := pass(t, bind(t, h.Build(Cat(h.Write(1, "read_body", I32Const(0)), Go(0)), nowhere), httpwasm.Binding{}, guest.Options{}), request, message{body: "+"})
			assert.Equal(t, body, up.body)
			assert.Equal(t, body+"+", client.body, "the guest's body goes before the upstream's")
			p := bind(t, some.Build(Cat(some.Call("read_body", I32Const(0), I32Const(Room), I32Const(10)), []byte{0xa7}, Drop, Go(0)), nowhere), httpwasm.Binding{}, guest.Options{})
			for range 2 { // the second time the plugin is known for reading
				up, _ = pass(t, p, request, message{})
				assert.Equal(t, body, up.body)
				assert.Equal(t, chunked, up.chunked)
			}
		})
	}
}

func TestReadBodyTellsTheEnd(t *testing.T) {
	h := NewHandler()
	read := func(limit int64) []byte { // adds "eof length" to the body
		return Cat(h.Call("read_body", I32Const(0), I32Const(Room), I32Const(limit)), LocalSet(3),
			I32Const(0), LocalGet(3), I64Const(32), []byte{0x88}, []byte{0xa7}, I32Const('0'), I32Add, []byte{0x3a, 0, 0}, // i32.store8 of the high half
			I32Const(1), LocalGet(3), []byte{0xa7}, I32Const('0'), I32Add, []byte{0x3a, 0, 0},
			h.Call("write_body", I32Const(1), I32Const(0), I32Const(2)))
	}
	p := bind(t, h.Build(Cat(read(2), read(2), read(2), read(2), Stop()), nowhere), httpwasm.Binding{}, guest.Options{})
	_, client := pass(t, p, message{body: "12345"}, message{})
	assert.Equal(t, "02"+"02"+"11"+"10", client.body)
	_, client = pass(t, p, message{}, message{})
	assert.Equal(t, "10101010", client.body, "no body is an end")
}

func TestWriteBody(t *testing.T) {
	h := NewHandler()
	p := bind(t, h.Build(Cat(
		h.Call("write_body", I32Const(0), h.Text("new ")), h.Call("write_body", I32Const(0), h.Text("body")),
		h.Call("enable_features", I32Const(2)), Drop, Go(7)),
		Cat(LocalGet(0), I32Const(7), []byte{0x47}, If(Empty, Unreachable),
			h.Write(1, "read_body", I32Const(1)), h.Call("write_body", I32Const(1), h.Text("!")),
			h.Call("set_status_code", I32Const(202)), h.Call("set_header_value", I32Const(1), h.Text("content-type"), h.Text("b")))), httpwasm.Binding{}, guest.Options{})
	for _, chunked := range []bool{false, true} {
		up, client := pass(t, p, message{body: "the client's longer body", chunked: chunked}, message{body: "from upstream", header: []string{"content-type: a"}, chunked: chunked})
		assert.Equal(t, message{method: "GET", target: "/", body: "new body"}, up)
		assert.Equal(t, message{status: 202, body: "from upstream!", header: []string{"content-type: b"}}, client)
	}
	h = NewHandler()
	p = bind(t, h.Build(Cat(h.Call("write_body", I32Const(0), I32Const(0), I32Const(0)), h.Call("enable_features", I32Const(2)), Drop, Go(0)),
		h.Call("write_body", I32Const(1), I32Const(0), I32Const(0))), httpwasm.Binding{}, guest.Options{})
	up, client := pass(t, p, message{body: "x"}, message{body: "y", chunked: true})
	assert.Equal(t, []string{"", ""}, []string{up.body, client.body}, "length 0 empties")
}

// What the guest sets on the answer before the request goes on is kept.
func TestAnswerSetBeforeNext(t *testing.T) {
	h := NewHandler()
	p := bind(t, h.Build(Cat(h.Call("set_status_code", I32Const(299)), h.Call("set_header_value", I32Const(1), h.Text("x-a"), h.Text("guest")),
		h.Call("write_body", I32Const(1), h.Text("guest")), Go(0)), nowhere), httpwasm.Binding{}, guest.Options{})
	for _, m := range []message{{body: ""}, {body: " and upstream", chunked: true}, {body: " and upstream"}} {
		m.header = []string{"x-a: upstream"}
		_, client := pass(t, p, message{}, m)
		assert.Equal(t, message{status: 299, body: "guest" + m.body, header: []string{"x-a: upstream", "x-a: guest"}, chunked: m.chunked}, client)
	}
}

func TestUntouchedAnswerIsNotTouched(t *testing.T) {
	h := NewHandler()
	p := bind(t, h.Build(Go(0), nowhere), httpwasm.Binding{}, guest.Options{})
	s := p.Open(facts)
	defer s.Close()
	r := message{body: "a", chunked: true}.request()
	body := r.Body
	require.NoError(t, s.ServeRequest(context.Background(), r))
	assert.True(t, body.(pieces).Reader == r.Body.(pieces).Reader, "nothing stands between the client and the upstream")
	resp := message{body: "b", chunked: true}.response()
	stream := resp.Stream.(pieces)
	require.NoError(t, s.ServeResponse(context.Background(), resp, false, false))
	assert.True(t, stream.Reader == resp.Stream.(pieces).Reader)
}

func TestStatus(t *testing.T) {
	h := NewHandler()
	status := Cat(I32Const(0), h.Call("get_status_code"), I32Const(100), []byte{0x6e}, I32Const('0'), I32Add, []byte{0x3a, 0, 0}, // the first digit
		h.Call("add_header_value", I32Const(1), h.Text("x-status"), I32Const(0), I32Const(1)))
	p := bind(t, h.Build(Cat(status, h.Call("enable_features", I32Const(2)), Drop, Go(0)), status), httpwasm.Binding{}, guest.Options{})
	_, client := pass(t, p, message{}, message{status: 404})
	assert.Equal(t, []string{"x-status: 2", "x-status: 4"}, client.header)
}

func TestTrailers(t *testing.T) {
	h := NewHandler()
	p := bind(t, h.Build(Cat(h.Call("enable_features", I32Const(7)), Drop,
		h.Call("set_header_value", I32Const(2), h.Text("x-sum"), h.Text("guest")), Go(0)),
		Cat(h.Call("add_header_value", I32Const(3), h.Text("x-sum"), h.Text("guest")))), httpwasm.Binding{}, guest.Options{})
	up, client := pass(t, p, message{body: "a", chunked: true, trailer: []string{"x-sum: client", "x-other: 1"}},
		message{body: "b", chunked: true, trailer: []string{"x-other: 2"}})
	assert.Equal(t, message{method: "GET", target: "/", body: "a", chunked: true, trailer: []string{"x-other: 1", "x-sum: guest"}}, up)
	assert.Equal(t, message{status: 200, body: "b", chunked: true, trailer: []string{"x-other: 2", "x-sum: guest"}}, client)
	up, client = pass(t, p, message{}, message{body: "b"})
	assert.Equal(t, message{method: "GET", target: "/", chunked: true, trailer: []string{"x-sum: guest"}}, up, "trailers without a body")
	assert.Equal(t, message{status: 200, body: "b", chunked: true, trailer: []string{"x-sum: guest"}}, client)

	// After the end of the body they are all there, to be read and removed.
	h = NewHandler()
	p = bind(t, h.Build(Cat(h.Call("enable_features", I32Const(7)), Drop, h.Get("read_body", I32Const(0)), Drop, Drop,
		h.Write(1, "get_header_values", I32Const(2), h.Text("x-sum")), h.Call("remove_header", I32Const(2), h.Text("x-sum")), Go(0)),
		Cat(h.Get("read_body", I32Const(1)), Drop, Drop, h.Call("remove_header", I32Const(3), h.Text("x-other")))), httpwasm.Binding{}, guest.Options{})
	up, client = pass(t, p, message{body: "a", chunked: true, trailer: []string{"x-sum: client", "x-other: 1"}},
		message{body: "b", chunked: true, trailer: []string{"x-other: 2", "x-last: 3"}})
	assert.Equal(t, []string{"x-other: 1"}, up.trailer)
	assert.Equal(t, "a", up.body)
	assert.Equal(t, "client\x00b", client.body)
	assert.Equal(t, []string{"x-last: 3"}, client.trailer)
}

// Features of the start function hold for every request, those of a request for it alone.
func TestFeatures(t *testing.T) {
	h := NewHandler()
	f := func(ask int64) []byte {
		return Cat(I32Const(0), h.Call("enable_features", I32Const(ask)), I32Const('0'), I32Add, []byte{0x3a, 0, 0},
			h.Call("write_body", I32Const(1), I32Const(0), I32Const(1)))
	}
	start := h.Func(Sig(nil, nil), nil, h.Call("enable_features", I32Const(2|64)), Drop)
	h.Start = start + 1
	p := bind(t, h.Build(Cat(f(0), f(1), f(0), Go(0)), Cat(f(4), h.Call("write_body", I32Const(1), h.Text("?")))), httpwasm.Binding{}, guest.Options{})
	for range 2 {
		_, client := pass(t, p, message{}, message{body: "x"})
		assert.Equal(t, "3?", client.body, "after the request went on none is added")
	}
	h = NewHandler()
	p = bind(t, h.Build(Cat(f(4), Stop()), nowhere), httpwasm.Binding{}, guest.Options{})
	_, client := pass(t, p, message{}, message{})
	assert.Equal(t, "4", client.body, "unknown features are not enabled")
}

func TestLog(t *testing.T) {
	var log bytes.Buffer
	h := NewHandler()
	enabled := func(level int64) []byte {
		return Cat(I32Const(0), h.Call("log_enabled", I32Const(level)), I32Const('0'), I32Add, []byte{0x3a, 0, 0},
			h.Call("write_body", I32Const(1), I32Const(0), I32Const(1)))
	}
	start := h.Func(Sig(nil, nil), nil, h.Call("log", I32Const(0), h.Text("started")))
	h.Export("_initialize", start)
	p := bind(t, h.Build(Cat(enabled(-1), enabled(0), enabled(1), enabled(2), enabled(3), enabled(77),
		h.Call("log", I32Const(-1), h.Text("secret")), h.Call("log", I32Const(2), h.Text("bad\nline")), h.Call("log", I32Const(3), h.Text("nothing")), Stop()), nowhere),
		httpwasm.Binding{}, guest.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	_, client := pass(t, p, message{}, message{})
	assert.Equal(t, "011100", client.body)
	assert.Contains(t, log.String(), `level=INFO msg=started`)
	assert.Contains(t, log.String(), `level=ERROR msg="bad\nline"`)
	assert.NotContains(t, log.String(), "secret")
	assert.NotContains(t, log.String(), "nothing")
}

// An instance serves one exchange from the request to its answer, and nobody else meanwhile.
func TestInstanceIsHeldForTheAnswer(t *testing.T) {
	h := NewHandler()
	count := Cat(I32Const(4), I32Const(4), I32Load(0), I32Const(1), I32Add, I32Store(0)) // at 4: requests that it has seen
	digit := Cat(I32Const(0), I32Const(4), I32Load(0), I32Const('0'), I32Add, []byte{0x3a, 0, 0},
		h.Call("enable_features", I32Const(2)), Drop, h.Call("write_body", I32Const(1), I32Const(0), I32Const(1)))
	wasm := h.Build(Cat(count, h.Call("enable_features", I32Const(2)), Drop, I32Const(4), I32Load(0), I64FromU, I64Const(32), I64Shl, I64Const(1), I64Or),
		Cat(LocalGet(0), I32Const(4), I32Load(0), []byte{0x47}, If(Empty, Unreachable), digit))
	p := bind(t, wasm, httpwasm.Binding{}, guest.Options{})
	first, second := p.Open(facts), p.Open(facts)
	defer first.Close()
	defer second.Close()
	for _, s := range []*httpwasm.Stream{first, second} {
		require.NoError(t, s.ServeRequest(context.Background(), message{}.request()))
	}
	for _, s := range []*httpwasm.Stream{first, second} {
		r := message{}.response()
		require.NoError(t, s.ServeResponse(context.Background(), r, false, false))
		assert.Equal(t, "1", string(r.Body), "both were new instances")
	}
	_, client := pass(t, p, message{}, message{})
	assert.Equal(t, "2", client.body, "and are used again")

	p = bind(t, wasm, httpwasm.Binding{Fresh: true}, guest.Options{})
	for range 3 {
		_, client = pass(t, p, message{}, message{})
		assert.Equal(t, "1", client.body, "with isolation fresh nothing is left")
	}
}

func TestInstancesAreBounded(t *testing.T) {
	h := NewHandler()
	p := bind(t, h.Build(Go(0), nowhere), httpwasm.Binding{}, guest.Options{Instances: 1})
	s := p.Open(facts)
	require.NoError(t, s.ServeRequest(context.Background(), message{}.request()))
	other := p.Open(facts)
	defer other.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := other.ServeRequest(ctx, message{}.request())
	require.ErrorContains(t, err, "wait for one of 1 instances")
	e, _ := errors.AsType[*guest.Error](err)
	assert.Equal(t, guest.KindBusy, e.Kind)
	s.Close()
	require.NoError(t, p.Open(facts).ServeRequest(context.Background(), message{}.request()))
}

func TestGatewaysErrorIsTold(t *testing.T) {
	h := NewHandler()
	p := bind(t, h.Build(Cat(h.Call("enable_features", I32Const(2)), Drop, Go(0)),
		Cat(LocalGet(1), If(Empty, h.Call("set_status_code", I32Const(599))))), httpwasm.Binding{}, guest.Options{})
	for failed, status := range map[bool]int{false: 502, true: 599} {
		s := p.Open(facts)
		require.NoError(t, s.ServeRequest(context.Background(), message{}.request()))
		r := message{status: 502}.response()
		require.NoError(t, s.ServeResponse(context.Background(), r, false, failed))
		assert.Equal(t, status, r.Status)
	}
}

// Many exchanges at once, more than there are instances: each gets its own number back, and
// the answer that its own request asked for.
func TestManyAtOnce(t *testing.T) {
	h := NewHandler()
	// The first byte of the URI's query is kept at 4 and given along.
	keep := Cat(h.Get("get_uri"), Drop, Drop, I32Const(4), I32Const(Room+2), []byte{0x2d, 0, 0}, I32Store(0), h.Call("enable_features", I32Const(2)), Drop,
		I32Const(4), I32Load(0), I64FromU, I64Const(32), I64Shl, I64Const(1), I64Or)
	same := Cat(LocalGet(0), I32Const(4), I32Load(0), []byte{0x47}, If(Empty, Unreachable), h.Call("write_body", I32Const(1), I32Const(4), I32Const(1)))
	p := bind(t, h.Build(keep, same), httpwasm.Binding{}, guest.Options{Instances: 4})
	var group sync.WaitGroup
	for c := range byte(26) {
		group.Go(func() {
			for range 50 {
				s := p.Open(facts)
				if !assert.NoError(t, s.ServeRequest(context.Background(), message{target: "/?" + string('a'+c)}.request())) {
					return
				}
				r := message{body: "upstream", chunked: true}.response()
				if assert.NoError(t, s.ServeResponse(context.Background(), r, false, false)) {
					assert.Equal(t, string('a'+c), string(r.Body))
				}
				s.Close()
			}
		})
	}
	group.Wait()
}
