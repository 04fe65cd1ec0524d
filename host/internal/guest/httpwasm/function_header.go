package httpwasm

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/wasmgate/wasmgate/host/internal/http1"
)

// fieldsOf is a header that a guest reads.
func (s *Stream) fieldsOf(function string, kind uint32) *fields {
	switch kind {
	case requestHeader:
		return &s.request
	case responseHeader:
		return &s.response
	case requestTrailer:
		return &s.requestTrailer
	case responseTrailer:
		return &s.responseTrailer
	}
	panic(fmt.Errorf("%s: header of kind %d, want 0 to 3", function, kind))
}

// shown are the fields of a message that no header has: a guest sees the Host and the
// length, too.
func (s *Stream) shown(kind uint32) (host, length string) {
	switch b := &s.requestBody; {
	case kind == requestHeader:
		host = s.authority
		if b.source != nil && !b.wrote && s.length >= 0 {
			length = strconv.FormatInt(s.length, 10)
		}
	case kind == responseHeader && s.next && s.responseLength >= 0 && !s.responseBody.wrote:
		length = strconv.FormatInt(s.responseLength, 10)
	}
	return host, length
}

func getHeaderNames(v *vm, words []uint64) {
	s, kind := v.exchange("get_header_names"), uint32(words[0])
	h := s.fieldsOf("get_header_names", kind).header()
	host, length := s.shown(kind)
	list := make([][]byte, 0, h.Len()+2)
	if host != "" {
		list = append(list, []byte("host"))
	}
	list = append(list, names(h)...)
	if length != "" {
		list = append(list, []byte("content-length"))
	}
	v.giveList("get_header_names", words, words[1], words[2], list)
}

func getHeaderValues(v *vm, words []uint64) {
	s, kind := v.exchange("get_header_values"), uint32(words[0])
	h := s.fieldsOf("get_header_values", kind).header()
	name := v.name("get_header_values", words)
	host, length := s.shown(kind)
	var list [][]byte
	switch {
	case name == "host" && host != "":
		list = append(list, []byte(host))
	case name == "content-length" && length != "":
		list = append(list, []byte(length))
	default:
		for value := range h.Values(name) {
			list = append(list, value)
		}
	}
	v.giveList("get_header_values", words, words[3], words[4], list)
}

// name is the name of a field in the guest's memory, in lower case.
func (v *vm) name(function string, words []uint64) string {
	name := lower(v.bytes(function, words[1], words[2]))
	if name == "" {
		panic(fmt.Errorf("%s: no name of a header", function))
	}
	return name
}

// changing is the header that a guest wants to change, if it may.
func (v *vm) changing(function string, words []uint64) (f *fields, kind uint32) {
	kind = uint32(words[0])
	var s *Stream
	switch kind {
	case requestHeader, requestTrailer:
		s = v.before(function, kinds[kind])
	default:
		s = v.exchange(function)
		s.fieldsOf(function, kind) // traps on a kind that there is not
		s = v.beforeOr(function, kinds[kind], bufferResponse, "buffer_response")
	}
	f = s.fieldsOf(function, kind)
	if !f.changed {
		f.partial = kind == requestTrailer && !s.requestBody.ended && s.requestBody.source != nil ||
			kind == responseTrailer && s.next && !s.responseBody.ended && s.responseBody.source != nil
	}
	return f, kind
}

// field is a field that a guest sets or adds; false is one without effect.
func (v *vm) field(function string, words []uint64, kind uint32) (name string, value []byte, ok bool) {
	name = v.name(function, words)
	value = bytes.Trim(v.bytes(function, words[3], words[4]), " \t")
	if err := checkField(kind, name, value); err != nil {
		panic(fmt.Errorf("%s: %w", function, err))
	}
	if name == "host" {
		v.setHost(function, kind, string(value))
		return name, value, false
	}
	return name, value, !isFraming(name)
}

func setHeaderValue(v *vm, words []uint64) {
	f, kind := v.changing("set_header_value", words)
	if name, value, ok := v.field("set_header_value", words, kind); ok {
		f.change().Set(name, string(value))
	}
}

func addHeaderValue(v *vm, words []uint64) {
	f, kind := v.changing("add_header_value", words)
	if name, value, ok := v.field("add_header_value", words, kind); ok {
		f.change().AddBytes(name, value)
	}
}

func removeHeader(v *vm, words []uint64) {
	f, _ := v.changing("remove_header", words)
	if name := v.name("remove_header", words); f.header().Has(name) {
		f.change().Del(name)
	}
}

// setHost makes a request's Host another; an answer has none.
func (v *vm) setHost(function string, kind uint32, host string) {
	if kind != requestHeader {
		return
	}
	if _, err := http1.CheckAuthority([]byte(host)); err != nil {
		panic(fmt.Errorf("%s: host %q: %w", function, host, err))
	}
	v.stream.authority = host
}
