package httpwasm

import (
	"bytes"
	"fmt"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
)

// Kinds of headers.
const (
	requestHeader = iota
	responseHeader
	requestTrailer
	responseTrailer
)

// kinds are the kinds of headers, for errors.
var kinds = [...]string{"request header", "response header", "request trailer", "response trailer"}

// fields are a header as a guest sees and changes it: a copy of the message's, made with the
// first change.
type fields struct {
	of      *exchange.Header // nil is none yet
	own     exchange.Header
	changed bool
	partial bool // of was not complete when own was made of it
}

// header is what the guest reads.
func (f *fields) header() *exchange.Header {
	if f.changed || f.of == nil {
		return &f.own
	}
	return f.of
}

// change is what the guest writes.
func (f *fields) change() *exchange.Header {
	if !f.changed {
		f.changed = true
		if f.of != nil {
			for name, value := range f.of.All() {
				f.own.AppendAlias(name, value)
			}
		}
	}
	return &f.own
}

// apply makes the guest's header that of the message, and what the guest sees from then on.
func (f *fields) apply() {
	switch {
	case !f.changed:
		return
	case f.partial:
		merge(f.of, &f.own)
	default:
		*f.of = f.own
	}
	*f = fields{of: f.of}
}

// merge adds to h what own has, in the place of what has the same names.
func merge(h, own *exchange.Header) {
	for _, name := range names(own) {
		h.Del(string(name))
	}
	own.CopyTo(h)
}

// names are all names, each once, in the order of their first field.
func names(h *exchange.Header) [][]byte {
	out := make([][]byte, 0, h.Len())
	for name := range h.All() {
		if !contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func contains(list [][]byte, name []byte) bool {
	for _, n := range list {
		if bytes.Equal(n, name) {
			return true
		}
	}
	return false
}

// lower is a name as fields have it: the memory is the guest's and stays as it is.
func lower(name []byte) string { return string(bytes.ToLower(name)) }

// checkField refuses a field that could not stand in a message: a line break would be a
// field of the guest's own making, or a second message (RFC 9110 5.5).
func checkField(kind uint32, name string, value []byte) error {
	check := http1.CheckField
	if kind == requestTrailer || kind == responseTrailer {
		check = http1.CheckTrailer
	}
	if err := check([]byte(name), value); err != nil {
		return fmt.Errorf("%s %q: value %q: %w", kinds[kind], name, value, err)
	}
	return nil
}

// isFraming tells what belongs to the connection and the framing of a message: a guest may
// set it as anywhere else, the message does not follow (RFC 9110 7.6.1, RFC 9112 6).
func isFraming(name string) bool {
	switch name {
	case "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade", "http2-settings":
		return true
	}
	return false
}
