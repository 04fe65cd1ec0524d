package httpwasm

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/http1"
)

// function is a host function of the module http_handler: words hold the parameters, and the
// result in place 0.
type function struct {
	guest.Signature
	power string
	run   func(v *vm, words []uint64)
}

// crossingFuel is what a host function costs beyond the instruction that calls it.
const crossingFuel = 100

func (f *function) call(v *vm, words []uint64) {
	v.box.Charge(crossingFuel)
	f.run(v, words)
}

// What plugins do through imports, in the words of the powers.
const (
	powerFeatures = "has bodies of requests and answers buffered, and trailers"
	powerConfig   = "reads its config"
	powerLog      = "writes lines to the log"
	powerRequest  = "reads method, URI, protocol and source address of requests"
	powerChange   = "changes method and URI of requests"
	powerHeaders  = "reads headers and trailers"
	powerSet      = "changes headers and trailers"
	powerRead     = "reads bodies of requests and answers"
	powerWrite    = "replaces bodies of requests and answers, and answers requests itself"
	powerStatus   = "reads and changes the status of answers"
)

// functions are all that a module may import of http_handler.
func functions() map[string]*function {
	f := func(params, results, power string, run func(v *vm, words []uint64)) *function {
		return &function{guest.Signature{Params: params, Results: results}, power, run}
	}
	return map[string]*function{
		"enable_features":      f("i", "i", powerFeatures, enableFeatures),
		"get_config":           f("ii", "i", powerConfig, getConfig),
		"log":                  f("iii", "", powerLog, writeLog),
		"log_enabled":          f("i", "i", powerLog, logEnabled),
		"get_method":           f("ii", "i", powerRequest, getMethod),
		"set_method":           f("ii", "", powerChange, setMethod),
		"get_uri":              f("ii", "i", powerRequest, getURI),
		"set_uri":              f("ii", "", powerChange, setURI),
		"get_protocol_version": f("ii", "i", powerRequest, getProtocol),
		"get_source_addr":      f("ii", "i", powerRequest, getSource),
		"get_header_names":     f("iii", "I", powerHeaders, getHeaderNames),
		"get_header_values":    f("iiiii", "I", powerHeaders, getHeaderValues),
		"set_header_value":     f("iiiii", "", powerSet, setHeaderValue),
		"add_header_value":     f("iiiii", "", powerSet, addHeaderValue),
		"remove_header":        f("iii", "", powerSet, removeHeader),
		"read_body":            f("iii", "I", powerRead, readBody),
		"write_body":           f("iii", "", powerWrite, writeBody),
		"get_status_code":      f("", "i", powerStatus, getStatus),
		"set_status_code":      f("i", "", powerStatus, setStatus),
	}
}

// bytes are the guest's at a place; what is not all inside traps.
func (v *vm) bytes(what string, at, length uint64) []byte {
	n := uint32(length)
	if n == 0 {
		return nil
	}
	b, ok := v.box.Bytes(uint32(at), n)
	if !ok {
		panic(fmt.Errorf("%s: %d bytes at %d are outside the memory", what, n, uint32(at)))
	}
	v.box.Charge(int64(n >> 3))
	return b
}

// give writes a value where the guest has room for limit bytes, and answers its length: when
// it does not fit nothing is written, and the guest asks again.
func (v *vm) give(what string, words []uint64, value string) {
	if n := uint32(len(value)); n <= uint32(words[1]) {
		copy(v.bytes(what, words[0], uint64(n)), value)
	}
	words[0] = uint64(len(value))
}

// giveList is give for a list: each with a NUL behind it. The answer is number and length.
func (v *vm) giveList(what string, words []uint64, at, limit uint64, list [][]byte) {
	total := len(list)
	for _, b := range list {
		total += len(b)
	}
	words[0] = uint64(len(list))<<32 | uint64(total)
	if uint64(total) > uint64(uint32(limit)) || total == 0 {
		return
	}
	out := v.bytes(what, at, uint64(total))
	for _, b := range list {
		n := copy(out, b)
		out[n] = 0
		out = out[n+1:]
	}
}

func enableFeatures(v *vm, words []uint64) {
	asked := features(uint32(words[0])) & allFeatures
	switch s := v.stream; {
	case s == nil:
		v.features |= asked
		words[0] = uint64(v.features)
	case s.next: // too late: the request went on as it was
		words[0] = uint64(s.features)
	default:
		s.features |= asked
		words[0] = uint64(s.features)
	}
}

func getConfig(v *vm, words []uint64) { v.give("get_config", words, string(v.p.Config)) }

// level is one of the log's; false is none.
func level(n uint64) (slog.Level, bool) {
	switch int32(uint32(n)) {
	case logDebug:
		return slog.LevelDebug, true
	case logInfo:
		return slog.LevelInfo, true
	case logWarn:
		return slog.LevelWarn, true
	case logError:
		return slog.LevelError, true
	}
	return 0, false
}

func logEnabled(v *vm, words []uint64) {
	l, ok := level(words[0])
	words[0] = 0
	if ok && v.p.logger.Enabled(context.Background(), l) {
		words[0] = 1
	}
}

func writeLog(v *vm, words []uint64) {
	line := v.bytes("log", words[1], words[2])
	if l, ok := level(words[0]); ok {
		v.p.line(l, line)
	}
}

func getMethod(v *vm, words []uint64) {
	v.give("get_method", words, v.exchange("get_method").method)
}

func getURI(v *vm, words []uint64) { v.give("get_uri", words, v.exchange("get_uri").target) }

func getProtocol(v *vm, words []uint64) {
	v.give("get_protocol_version", words, v.exchange("get_protocol_version").facts.Protocol)
}

func getSource(v *vm, words []uint64) {
	v.give("get_source_addr", words, v.exchange("get_source_addr").facts.Source.String())
}

// before is the exchange, whose request the guest may still change.
func (v *vm) before(function, what string) *Stream {
	s := v.exchange(function)
	if s.next {
		panic(fmt.Errorf("%s: can't change the %s after the request went on", function, what))
	}
	return s
}

// beforeOr is the exchange, whose answer the guest may change: its own, or the upstream's
// with a feature.
func (v *vm) beforeOr(function, what string, f features, name string) *Stream {
	s := v.exchange(function)
	if s.next && s.features&f == 0 {
		panic(fmt.Errorf("%s: no access to the %s after the request went on, unless %s is enabled", function, what, name))
	}
	return s
}

func setMethod(v *vm, words []uint64) {
	s := v.before("set_method", "method")
	method := string(v.bytes("set_method", words[0], words[1]))
	if err := http1.CheckMethod(method, true); err != nil {
		panic(fmt.Errorf("set_method: %q: %w", method, err))
	}
	if s.target == "*" && method != "OPTIONS" { // RFC 9112 3.2.4
		panic(fmt.Errorf("set_method: %q for the URI \"*\", want OPTIONS", method))
	}
	s.method = method
}

func setURI(v *vm, words []uint64) {
	s := v.before("set_uri", "URI")
	uri := string(v.bytes("set_uri", words[0], words[1]))
	if uri == "" { // guests take it away before they set another
		uri = "/"
	}
	path, query, has := strings.Cut(uri, "?")
	if err := http1.CheckTarget(s.method, path, query, has && query == ""); err != nil {
		panic(fmt.Errorf("set_uri: %q: %w", uri, err))
	}
	s.target = uri
}

func getStatus(v *vm, words []uint64) {
	status := v.exchange("get_status_code").status
	if status == 0 {
		status = 200
	}
	words[0] = uint64(status)
}

func setStatus(v *vm, words []uint64) {
	s := v.beforeOr("set_status_code", "status", bufferResponse, "buffer_response")
	status := uint32(words[0])
	if status < 200 || status > 599 {
		panic(fmt.Errorf("set_status_code: %d, want 200 to 599", status))
	}
	s.status = int(status)
}

// Kinds of bodies.
const (
	requestBody = iota
	responseBody
)

// bodyOf is the body that a guest reads or writes.
func (v *vm) bodyOf(function string, kind uint64, change bool) *body {
	switch uint32(kind) {
	case requestBody:
		if change {
			return &v.before(function, "request's body").requestBody
		}
		s := v.beforeOr(function, "request's body", bufferRequest, "buffer_request")
		v.p.reads.Store(true)
		return &s.requestBody
	case responseBody:
		s := v.beforeOr(function, "response's body", bufferResponse, "buffer_response")
		if b := &s.responseBody; !change && !s.next && b.source == nil && b.wrote {
			b.source = bytes.NewReader(b.written) // its own, as far as it is
		}
		return &s.responseBody
	}
	panic(fmt.Errorf("%s: body of kind %d, want 0 or 1", function, uint32(kind)))
}

func readBody(v *vm, words []uint64) {
	b := v.bodyOf("read_body", words[0], false)
	if uint32(words[2]) == 0 { // would never come to an end
		panic(fmt.Errorf("read_body: room for 0 bytes"))
	}
	n, eof := b.read(v.bytes("read_body", words[1], words[2]))
	words[0] = uint64(n)
	if eof {
		words[0] |= 1 << 32
	}
}

func writeBody(v *vm, words []uint64) {
	b := v.bodyOf("write_body", words[0], true)
	if err := b.write(v.bytes("write_body", words[1], words[2])); err != nil {
		panic(fmt.Errorf("write_body: %w", err))
	}
}
