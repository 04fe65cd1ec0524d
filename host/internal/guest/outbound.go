package guest

import (
	"context"
	"errors"
	"net/url"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

const (
	defaultCallTime = 1500 * time.Millisecond
	maxCallTime     = abi.MaxHTTPTimeoutMS * time.Millisecond
	maxCallBytes    = abi.MaxResultBytes
)

func httpCall(in *instance, words []uint64) {
	record, ok := in.bytes(words[0], words[1])
	out, room := in.bytes(words[2], words[3])
	if !ok || !room || len(record) > maxCallBytes {
		status64(words, abi.StatusBadArgument)
		return
	}
	in.charge(int64(len(record) >> 3))
	call, timeout, status := in.outbound(record, len(out))
	if status != abi.StatusOK {
		status64(words, status)
		return
	}
	ctx, cancel := context.WithTimeout(in.ctx.Context, timeout)
	defer cancel()
	answer, err := in.powers.HTTP.Do(ctx, call)
	if err != nil {
		in.p.host.log.Debug("outbound call of a plugin failed", "url", call.URL, "error", err)
		status := abi.StatusUnavailable
		if named, ok := errors.AsType[StatusError](err); ok {
			status = abi.Status(named)
		} else if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
			status = abi.StatusTimeout
		}
		status64(words, status)
		return
	}
	n, err := encodeAnswer(out, answer)
	if noRoom, ok := errors.AsType[*abi.NoRoomError](err); ok {
		words[0] = uint64(noRoom.Need)
		return
	}
	if err != nil {
		status64(words, abi.StatusLimit)
		return
	}
	in.charge(int64(n >> 3))
	words[0] = uint64(n)
}

// outbound reads and checks the record of a call. Nothing in it aliases the guest's memory.
func (in *instance) outbound(record []byte, room int) (c Outbound, timeout time.Duration, _ abi.Status) {
	r, err := abi.ParseResult(record, 0)
	if err != nil {
		return c, 0, abi.StatusBadArgument
	}
	c = Outbound{Method: string(r.Bytes(abi.ResultHTTPMethod)), URL: string(r.Bytes(abi.ResultHTTPURL)),
		Body: append([]byte(nil), r.Bytes(abi.ResultHTTPBody)...), MaxAnswer: room}
	if c.Method == "" {
		c.Method = "GET"
	}
	u, err := url.Parse(c.URL)
	if err != nil || len(c.URL) > abi.MaxURLBytes || u.Scheme != "https" && u.Scheme != "http" || !isToken(c.Method) {
		return c, 0, abi.StatusBadArgument
	}
	granted := false
	if granted, c.Constant = in.p.host.grants.url(u); !granted {
		return c, 0, abi.StatusNotGranted
	}
	for name, value := range r.Pairs(abi.ResultHTTPHeaders).All {
		// A line break would be a header of the guest's own making, or a second request.
		if !isToken(string(name)) || !isFieldValue(value) {
			return c, 0, abi.StatusBadArgument
		}
		c.Headers = append(c.Headers, Header{string(name), string(value)})
	}
	if in.powers.HTTP == nil {
		return c, 0, abi.StatusUnavailable
	}
	timeout = defaultCallTime
	if ms, ok := r.Uint(abi.ResultHTTPTimeoutMS); ok && ms > 0 {
		timeout = time.Duration(min(ms, uint64(maxCallTime/time.Millisecond))) * time.Millisecond
	}
	return c, timeout, abi.StatusOK
}

func encodeAnswer(out []byte, a Answer) (int, error) {
	var w abi.Writer[abi.Field]
	w.Start(out, 0, 3)
	w.Uint(abi.FieldHTTPStatus, uint64(a.Status))
	w.BeginPairs(abi.FieldHTTPHeaders)
	for _, h := range a.Headers {
		w.PairStrings(h.Name, h.Value)
	}
	w.EndPairs()
	w.Bytes(abi.FieldHTTPBody, a.Body)
	return w.Finish()
}

// isToken: RFC 9110 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && !containsByte("!#$%&'*+-.^_`|~", c) {
			return false
		}
	}
	return s != ""
}

// isFieldValue: RFC 9110 5.5.
func isFieldValue(v []byte) bool {
	for _, c := range v {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func containsByte(s string, c byte) bool {
	for i := range len(s) {
		if s[i] == c {
			return true
		}
	}
	return false
}
