package proxywasm

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// headers finds a map of the effective context. What is open only in another phase is no
// map, as in Envoy.
func (v *vm) headers(id uint64) *headerMap {
	var m *headerMap
	s := v.stream()
	switch id := uint32(id); {
	case id == mapCallHeaders || id == mapCallTrailers:
		if v.answer == nil {
			return nil
		}
		if m = &v.answer.headers; id == mapCallTrailers {
			m = &v.answer.trailers
		}
	case s == nil:
		return nil
	case id == mapRequestHeaders:
		m = &s.request.headers
	case id == mapRequestTrailers:
		m = &s.request.trailers
	case id == mapResponseHeaders:
		m = &s.response.headers
	case id == mapResponseTrailers:
		m = &s.response.trailers
	}
	if m == nil || !m.open {
		return nil
	}
	return m
}

func hostMapSize(v *vm, w []uint64) status {
	m := v.headers(w[0])
	if m == nil {
		return statusBadArgument
	}
	return v.put32(w[1], uint32(sizeOfPairs(m.fields)))
}

func hostMapPairs(v *vm, w []uint64) status {
	m := v.headers(w[0])
	if m == nil {
		return statusBadArgument
	}
	return v.give(appendPairs(nil, m.fields), w[1], w[2])
}

func hostSetMapPairs(v *vm, w []uint64) status {
	b, ok := v.bytes(w[1], w[2])
	if !ok {
		return statusInvalidMemory
	}
	m := v.headers(w[0])
	if m == nil || m.fixed {
		return statusBadArgument
	}
	v.box.Charge(int64(len(b)))
	fields, err := parsePairs(b)
	if err != nil {
		return statusBadArgument
	}
	return m.set(fields)
}

func hostMapValue(v *vm, w []uint64) status {
	key, ok := v.bytes(w[1], w[2])
	if !ok {
		return statusInvalidMemory
	}
	m := v.headers(w[0])
	if m == nil {
		return statusBadArgument
	}
	value, found := m.get(key)
	if !found && v.p.module.version != v010 {
		return statusNotFound
	}
	return v.give(value, w[3], w[4])
}

// change is an edit of a map, whose name and value stand in the guest's memory.
func (v *vm) change(w []uint64, edit func(m *headerMap, name, value []byte) status) status {
	name, ok := v.bytes(w[1], w[2])
	value, all := []byte(nil), true
	if len(w) > 3 {
		value, all = v.bytes(w[3], w[4])
	}
	if !ok || !all {
		return statusInvalidMemory
	}
	m := v.headers(w[0])
	if m == nil || m.fixed {
		return statusBadArgument
	}
	v.box.Charge(int64(len(name) + len(value) + 8*len(m.fields)))
	if len(value) > maxPairsBytes || len(name) > maxPairsBytes {
		return statusBadArgument
	}
	return edit(m, name, value)
}

func hostMapAdd(v *vm, w []uint64) status     { return v.change(w, (*headerMap).add) }
func hostMapReplace(v *vm, w []uint64) status { return v.change(w, (*headerMap).replace) }

func hostMapRemove(v *vm, w []uint64) status {
	return v.change(w[:3], func(m *headerMap, name, _ []byte) status {
		m.remove(name)
		return statusOK
	})
}

// buffer is the bytes of a buffer; nil is none that can be seen now.
func (v *vm) buffer(id uint64) (b []byte, found bool) {
	s := v.stream()
	switch uint32(id) {
	case bufferRequestBody:
		if s != nil && s.request.bodyOpen {
			return s.request.buffer, true
		}
	case bufferResponseBody:
		if s != nil && s.response.bodyOpen {
			return s.response.buffer, true
		}
	case bufferCallBody:
		if v.answer != nil { // SDKs set the stream's context before they read it
			return v.answer.body, true
		}
	case bufferVMConfig:
		return nil, v.stage != stageBoot
	case bufferPluginConfig:
		return v.p.Config, v.stage != stageBoot
	}
	return nil, false
}

func hostGetBuffer(v *vm, w []uint64) status {
	if uint32(w[0]) >= buffers {
		return statusBadArgument
	}
	b, found := v.buffer(w[0])
	if !found {
		return statusNotFound
	}
	start, most := uint64(uint32(w[1])), uint64(uint32(w[2]))
	if start+most > 0xffffffff {
		return statusBadArgument
	}
	from := min(start, uint64(len(b)))
	return v.give(b[from:min(start+most, uint64(len(b)))], w[3], w[4])
}

func hostBufferStatus(v *vm, w []uint64) status {
	if uint32(w[0]) >= buffers {
		return statusBadArgument
	}
	b, found := v.buffer(w[0])
	if !found {
		return statusNotFound
	}
	if !v.room32(w[1]) || !v.room32(w[2]) {
		return statusInvalidMemory
	}
	v.put32(w[1], uint32(len(b)))
	return v.put32(w[2], 0) // no flags are defined
}

// hostSetBuffer replaces a part of a body: (0, 0) puts before it, a start at its end or
// beyond puts after it.
func hostSetBuffer(v *vm, w []uint64) status {
	data, ok := v.bytes(w[3], w[4])
	if !ok {
		return statusInvalidMemory
	}
	if uint32(w[0]) >= buffers {
		return statusBadArgument
	}
	if _, found := v.buffer(w[0]); !found {
		return statusNotFound
	}
	var h *half
	switch uint32(w[0]) {
	case bufferRequestBody:
		h = &v.stream().request
	case bufferResponseBody:
		h = &v.stream().response
	default:
		return statusBadArgument // what is not the guest's to change
	}
	start, size := uint64(uint32(w[1])), uint64(uint32(w[2]))
	if start+size > 0xffffffff {
		return statusBadArgument
	}
	length := uint64(len(h.buffer))
	from, to := min(start, length), min(start+size, length)
	if length-(to-from)+uint64(len(data)) > maxBuffered {
		return statusInternal
	}
	v.box.Charge(int64((length + uint64(len(data))) >> 3))
	changed := make([]byte, 0, length-(to-from)+uint64(len(data)))
	changed = append(append(append(changed, h.buffer[:from]...), data...), h.buffer[to:]...)
	h.buffer, h.rewrote = changed, true
	return statusOK
}

func hostConfiguration(v *vm, w []uint64) status { return v.give(v.p.Config, w[0], w[1]) }

// resume continues a half of the effective context's stream.
func (v *vm) resume(stream int) status {
	s := v.stream()
	if s == nil {
		return statusBadArgument
	}
	if stream == streamRequest {
		s.resume(&s.request)
	} else {
		s.resume(&s.response)
	}
	return statusOK
}

func hostContinue(v *vm, w []uint64) status {
	if n := uint32(w[0]); n > streamResponse {
		return statusBadArgument // layer 4 is not served
	}
	return v.resume(int(uint32(w[0])))
}

var errClosedByGuest = errors.New("the plugin closed the stream")

func hostCloseStream(v *vm, w []uint64) status {
	s := v.stream()
	if uint32(w[0]) > streamResponse || s == nil {
		return statusBadArgument
	}
	s.fail(errClosedByGuest)
	return statusOK
}

// hostReply keeps the answer that the guest makes to the effective context's request.
func hostReply(v *vm, w []uint64) status {
	code := uint32(w[0])
	details, ok := v.bytes(w[1], w[2])
	body, all := v.bytes(w[3], w[4])
	pairs, some := v.bytes(w[5], w[6])
	if !ok || !all || !some {
		return statusInvalidMemory
	}
	s := v.stream()
	if s == nil || s.phase == phaseLog || code < 200 || code > 599 || len(body) > maxBuffered {
		return statusBadArgument
	}
	v.box.Charge(int64(len(pairs) + len(body)>>3))
	fields, err := parsePairs(pairs)
	if err != nil {
		return statusBadArgument
	}
	r := &Reply{Status: int(code), Body: bytes.Clone(body), Details: string(details[:min(len(details), maxLine)])}
	headers := headerMap{check: responseField}
	for _, f := range fields {
		if len(f.name) > 0 && f.name[0] == ':' {
			continue // the status stands beside
		}
		if st := headers.add(f.name, f.value); st != statusOK {
			return st
		}
	}
	if _, typed := headers.get([]byte("content-type")); !typed && len(body) > 0 {
		headers.add([]byte("content-type"), []byte("text/plain"))
	}
	if grpc := int32(uint32(w[7])); grpc >= 0 && s.grpc {
		headers.replace([]byte("grpc-status"), fmt.Append(nil, grpc))
	}
	fill(&r.Header, headers.fields)
	s.reply = r
	s.wake()
	s.stopReading() // it goes out at once, whatever the client still sends
	return statusOK
}

// fill appends copies of fields that are not the connection's own.
func fill(h *exchange.Header, fields []field) {
	for _, f := range fields {
		if !isFraming(f.name) && f.name[0] != ':' {
			h.AppendCopy(f.name, f.value)
		}
	}
}
