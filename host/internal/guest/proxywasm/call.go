package proxywasm

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/guest"
)

const (
	// maxCalls is how many outbound calls one VM may have out at once.
	maxCalls = 256
	// maxCallTime bounds a call whatever the guest says.
	maxCallTime = 29 * time.Second
	// maxAnswer is the most of an answer that a guest gets.
	maxAnswer = 4 << 20
)

// callAnswer is what an outbound call brought, as long as its callback runs.
type callAnswer struct {
	headers, trailers headerMap
	body              []byte
}

// callStatus is what proxy_get_status tells of the last call.
type callStatus struct {
	code    uint32 // of gRPC
	message string
}

// hostHTTPCall starts a call to an upstream that the grants name. The answer comes as an
// event of its own.
func hostHTTPCall(v *vm, w []uint64) status {
	var parts [4][]byte // upstream, headers, body, trailers
	for i := range parts {
		b, ok := v.bytes(w[2*i], w[2*i+1])
		if !ok {
			return statusInvalidMemory
		}
		parts[i] = b
	}
	if !v.room32(w[9]) {
		return statusInvalidMemory
	}
	v.box.Charge(callFuel + int64((len(parts[1])+len(parts[2])+len(parts[3]))>>3))
	c, ok := v.outbound(string(parts[0]), parts[1], parts[2], parts[3])
	if !ok {
		return statusBadArgument
	}
	if v.p.HTTP == nil || len(v.calls) >= maxCalls {
		return statusInternal
	}
	timeout := time.Duration(uint32(w[8])) * time.Millisecond
	if timeout == 0 || timeout > maxCallTime {
		timeout = maxCallTime
	}
	for v.nextCall++; v.nextCall == 0 || v.calls[v.nextCall] != nil; v.nextCall++ {
	}
	id := v.nextCall
	ctx, cancel := context.WithTimeout(v.p.ctx, timeout)
	v.calls[id] = cancel
	v.put32(w[9], id)
	v.p.group.Go(func() { // Plugin.end waits for it
		answer, err := v.p.HTTP.Do(ctx, c)
		if err == nil && len(answer.Body) > maxAnswer {
			err = fmt.Errorf("answer is longer than %d bytes", maxAnswer)
		}
		late := errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded)
		cancel()
		v.post(func(ctx context.Context) { v.answered(ctx, id, answer, err, late) })
	})
	return statusOK
}

// outbound makes a call of what a guest gave; false is what it must not or cannot call.
func (v *vm) outbound(upstream string, headers, body, trailers []byte) (c guest.Outbound, ok bool) {
	base, granted := v.p.upstream(upstream)
	if !granted {
		return c, false
	}
	fields, err := parsePairs(headers)
	if err != nil {
		return c, false
	}
	if _, err = parsePairs(trailers); err != nil {
		return c, false
	}
	c = guest.Outbound{Body: append([]byte(nil), body...), Constant: true, MaxAnswer: maxAnswer}
	pseudo := map[string]string{}
	for _, f := range fields {
		name := string(lower(f.name))
		if name == "" || !isToken([]byte(name[min(1, len(name)-1):])) || !isFieldValue(f.value) {
			return c, false
		}
		if name[0] == ':' {
			// Twice would be two requests in one (fact: callees answer 400).
			if _, twice := pseudo[name]; twice {
				return c, false
			}
			pseudo[name] = string(f.value)
			continue
		}
		if !isToken(f.name) {
			return c, false
		}
		if !isFraming([]byte(name)) {
			c.Headers = append(c.Headers, guest.Header{Name: name, Value: string(clone(f.value))})
		}
	}
	method, path := pseudo[":method"], pseudo[":path"]
	authority, named := pseudo[":authority"]
	if !isToken([]byte(method)) || !isTarget([]byte(path)) || path == "*" || !named || authority != "" && !isAuthority([]byte(authority)) {
		return c, false
	}
	c.Method, c.URL, c.Authority = method, base+path, authority
	return c, true
}

// answered tells the guest of the end of a call. One that failed is told as an answer of
// the gateway's making: many guests take no headers for nothing to do, and never resume.
func (v *vm) answered(ctx context.Context, id uint32, answer guest.Answer, err error, late bool) {
	if v.calls[id] == nil {
		return
	}
	delete(v.calls, id)
	v.lastStatus = callStatus{}
	if err != nil {
		v.p.Logger.Debug("outbound call of a plugin failed", "error", err)
		answer = guest.Answer{Status: 503, Body: []byte("the upstream cannot be reached")}
		v.lastStatus = callStatus{14, "unavailable"}
		if late {
			answer.Status, answer.Body = 504, []byte("the upstream did not answer in time")
			v.lastStatus = callStatus{4, "deadline exceeded"}
		}
		answer.Headers = []guest.Header{{Name: "content-type", Value: "text/plain"}, {Name: "content-length", Value: strconv.Itoa(len(answer.Body))}}
	}
	a := &callAnswer{body: answer.Body}
	a.headers.open, a.headers.fixed, a.trailers.open, a.trailers.fixed = true, true, true, true
	a.headers.fields = append(a.headers.fields, field{[]byte(":status"), strconv.AppendInt(nil, int64(answer.Status), 10)})
	for _, h := range answer.Headers {
		a.headers.fields = append(a.headers.fields, field{[]byte(h.Name), []byte(h.Value)})
	}
	for _, h := range answer.Trailers {
		a.trailers.fields = append(a.trailers.fields, field{[]byte(h.Name), []byte(h.Value)})
	}
	v.answer = a
	defer func() { v.answer = nil }()
	_, _ = v.callback(ctx, rootID, "proxy_on_http_call_response", v.p.Fuel, // the VM is broken then
		rootID, uint64(id), uint64(len(a.headers.fields)), uint64(len(a.body)), uint64(len(a.trailers.fields)))
}

func hostStatus(v *vm, w []uint64) status {
	if !v.room32(w[0]) {
		return statusInvalidMemory
	}
	v.put32(w[0], v.lastStatus.code)
	return v.give([]byte(v.lastStatus.message), w[1], w[2])
}
