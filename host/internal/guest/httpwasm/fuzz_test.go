package httpwasm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
)

// room is a guest that is nothing but memory.
type room struct {
	memory []byte
	fuel   int64
}

var errFuel = errors.New("no fuel")

func (r *room) Bytes(at, length uint32) ([]byte, bool) {
	if uint64(at)+uint64(length) > uint64(len(r.memory)) {
		return nil, false
	}
	return r.memory[at : at+length : at+length], true
}

func (r *room) Charge(units int64) {
	if r.fuel -= units; r.fuel < 0 {
		panic(errFuel)
	}
}

func (r *room) Used() uint64 { return 0 }

func (r *room) Call(context.Context, string, uint64, ...uint64) (uint64, error) { return 0, nil }

// trap runs a host function as a guest would; it tells whether that trapped.
func trap(t *testing.T, f *function, v *vm, words []uint64) (trapped bool) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case runtime.Error:
			t.Fatalf("host function failed: %v", p)
		case error:
			trapped = true
		default:
			t.Fatalf("host function panicked with %v", p)
		}
	}()
	f.call(v, words)
	return false
}

// FuzzFunctions calls host functions with any words over any memory, before and after the
// request went on. Whatever a guest does, what goes on is a request, and what goes out an
// answer, that can be written.
func FuzzFunctions(f *testing.F) {
	call := func(name string, words ...int32) []byte {
		list := slices.Sorted(maps.Keys(functions()))
		out := []byte{byte(slices.Index(list, name))}
		for i := range 5 {
			w := int32(0)
			if i < len(words) {
				w = words[i]
			}
			out = binary.LittleEndian.AppendUint32(out, uint32(w))
		}
		return out
	}
	memory := "POST/a?bx-onevalue" + strings.Repeat("\x00", 200)
	for _, script := range [][][]byte{
		{call("set_method", 0, 4), call("set_uri", 4, 4), call("get_uri", 50, 9)},
		{call("set_header_value", 0, 8, 5, 13, 5), call("get_header_names", 0, 50, 90), call("get_header_values", 0, 8, 5, 50, 90), call("remove_header", 0, 8, 5)},
		{call("enable_features", 7), call("read_body", 0, 50, 3), call("write_body", 0, 0, 9), {255}, call("read_body", 1, 50, 90), call("write_body", 1, 0, 4), call("set_status_code", 404)},
		{call("write_body", 1, 0, 18), call("set_header_value", 3, 8, 5, 13, 5), {255}, call("get_header_names", 1, 50, 90), call("get_status_code")},
		{call("get_config", -1, -1), call("log", -1, 0, 18), call("read_body", 0, 0, -1), call("get_header_names", 9, -5, -1)},
	} {
		f.Add([]byte(memory), bytes.Join(script, nil))
	}
	p := &Plugin{Binding: Binding{Name: "x", Config: []byte("config")}, logger: slog.New(slog.DiscardHandler), line: func(slog.Level, []byte) {}}
	f.Fuzz(func(t *testing.T, memory, script []byte) {
		s := p.Open(Facts{Protocol: "HTTP/1.1", Source: netip.MustParseAddrPort("192.0.2.1:1")})
		v := &vm{p: p, box: &room{memory: bytes.Clone(memory), fuel: 1_000_000}, stream: s}
		q := &Request{Method: "POST", Target: "/x?y", Authority: "api.test", Header: &exchange.Header{}, Trailer: &exchange.Header{},
			Body: strings.NewReader("request body"), Length: 12}
		q.Header.Add("x-one", "1")
		resp := &exchange.Response{Status: 200, Length: -1, Stream: io.NopCloser(strings.NewReader("response body"))}
		resp.Header.Add("x-one", "1")
		s.method, s.target, s.authority, s.length = q.Method, q.Target, q.Authority, q.Length
		s.request.of, s.requestTrailer.of, s.requestBody.source = q.Header, q.Trailer, q.Body
		if !play(t, v, script, q, resp) {
			return
		}
		s.finish(resp)
		writable(t, q, resp)
	})
}

// play calls host functions as a script says, and lets the request go on where it says so
// or at its end; false is a trap.
func play(t *testing.T, v *vm, script []byte, q *Request, resp *exchange.Response) bool {
	all := functions()
	list := slices.Sorted(maps.Keys(all))
	next := func() {
		if s := v.stream; !s.next {
			s.next = true
			s.forward(q)
			s.begin(resp, false)
		}
	}
	for len(script) > 0 {
		if script[0] == 255 {
			next()
			script = script[1:]
			continue
		}
		words := make([]uint64, 6)
		for i := range 5 {
			if len(script) >= 5+4*i {
				words[i] = uint64(binary.LittleEndian.Uint32(script[1+4*i:]))
			}
		}
		if trap(t, all[list[int(script[0])%len(list)]], v, words) {
			return false
		}
		script = script[min(len(script), 21):]
	}
	next()
	return true
}

// writable wants a request and an answer that can be written, with bodies of the length
// that is told.
func writable(t *testing.T, q *Request, resp *exchange.Response) {
	body := int64(0)
	if q.Body != nil {
		n, err := io.Copy(io.Discard, q.Body)
		require.NoError(t, err)
		body = n
	}
	if q.Length >= 0 {
		require.Equal(t, q.Length, body)
	}
	path, query, has := strings.Cut(q.Target, "?")
	head := http1.RequestHead{Method: q.Method, Path: path, Query: query, EmptyQuery: has && query == "", Authority: q.Authority, Header: q.Header, Framing: http1.Chunked}
	_, err := head.Append(nil)
	require.NoError(t, err)
	_, err = http1.AppendLastChunk(nil, q.Trailer)
	require.NoError(t, err)
	if resp.Stream != nil {
		n, err := io.Copy(io.Discard, resp.Stream)
		require.NoError(t, err)
		if resp.Length >= 0 {
			require.Equal(t, resp.Length, n)
		}
	}
	require.True(t, resp.Status >= 200 && resp.Status <= 599)
	out := http1.ResponseHead{Status: resp.Status, Header: &resp.Header, Framing: http1.Chunked, Date: "Thu, 01 Jan 1970 00:00:00 GMT"}
	_, err = out.Append(nil)
	require.NoError(t, err)
	_, err = http1.AppendLastChunk(nil, &resp.Trailer)
	require.NoError(t, err)
}
