package casefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// Bytes are bytes that are written as the contract's type bytes is: as text where they are
// UTF-8.
type Bytes []byte

// MarshalJSON writes the canonical spelling.
func (b Bytes) MarshalJSON() ([]byte, error) { return json.Marshal(describeBytes(b)) }

// UnmarshalJSON reads every spelling.
func (b *Bytes) UnmarshalJSON(text []byte) (err error) {
	*b, err = parseBytes(text)
	return err
}

// The calls of [HostCall]. A secret is looked up by secret.get and by crypto.hmac_sha256.
const (
	CallHTTP     = "http"
	CallKVGet    = "kv.get"
	CallKVSet    = "kv.set"
	CallKVDelete = "kv.delete"
	CallSecret   = "secret"
	CallJWKS     = "jwks"
)

// HostCall is one call of a capability, with what it asked and what it was answered. Only
// the fields of its kind are there:
//
//	{"call": "kv.get", "key": "a", "value": "1"}
//	{"call": "kv.get", "key": "b", "status": "not_found"}
//	{"call": "kv.set", "key": "b", "value": "2", "ttl_ms": 5000}
//	{"call": "kv.delete", "key": "b"}
//	{"call": "secret", "name": "signing", "value": "xxxx"}
//	{"call": "jwks", "url": "https://id.example", "token": "a.b.c", "status": "invalid"}
//	{"call": "http", "method": "POST", "url": "https://x.example/", "headers": [["a", "b"]],
//	 "body": "hi", "answer": {"status": 200, "headers": [["etag", "1"]], "body": "ok"}}
//	{"call": "http", "method": "GET", "url": "https://x.example/", "status": "timeout"}
//
// Without status the answer is ok.
type HostCall struct {
	Call string `json:"call"`
	// Key is of the kv calls.
	Key Bytes `json:"key,omitempty"`
	// Name is of secret.
	Name Bytes `json:"name,omitempty"`
	// Method, URL, Headers and Body are the request of http, URL and Token those of jwks.
	Method  Bytes  `json:"method,omitempty"`
	URL     Bytes  `json:"url,omitempty"`
	Headers []Pair `json:"headers,omitempty"`
	Body    Bytes  `json:"body,omitempty"`
	Token   Bytes  `json:"token,omitempty"`
	// TTLMS is kv.set's.
	TTLMS int64 `json:"ttl_ms,omitempty"`
	// Value is what kv.set stores, and what kv.get and secret answer.
	Value Bytes `json:"value,omitempty"`
	// Answer is http's.
	Answer *HTTPAnswer `json:"answer,omitempty"`
	// Status is the answer of what has none else; 0 is ok.
	Status StatusName `json:"status,omitempty"`
}

// HTTPAnswer is what an upstream answered to an outbound call.
type HTTPAnswer struct {
	Status  int    `json:"status"`
	Headers []Pair `json:"headers,omitempty"`
	Body    Bytes  `json:"body,omitempty"`
}

// Pair is a name and a value.
type Pair [2]Bytes

// asks is what a call asks, without its answer.
func (c HostCall) asks() HostCall {
	if c.Call != CallKVSet {
		c.Value = nil
	}
	c.Answer, c.Status = nil, 0
	return c
}

// String is what the call asks, in the form of a case file.
func (c HostCall) String() string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(c.asks()); err != nil {
		return fmt.Sprintf("%q", err) // bytes and numbers always have a JSON form
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (c *HostCall) check() error {
	calls := []string{CallHTTP, CallKVGet, CallKVSet, CallKVDelete, CallSecret, CallJWKS}
	switch {
	case !slices.Contains(calls, c.Call):
		return fmt.Errorf("call %q, want one of %s", c.Call, strings.Join(calls, ", "))
	case c.Call == CallHTTP && (c.Answer == nil) == (c.Status == 0):
		return errors.New("call http: want one of answer and status")
	case c.Call != CallHTTP && c.Answer != nil:
		return fmt.Errorf("call %s: got an answer, want value or status", c.Call)
	}
	return nil
}

// check refuses calls that are not as [HostCall] has them.
func (h *Host) check() error {
	for i := range h.Calls {
		if err := h.Calls[i].check(); err != nil {
			return fmt.Errorf("host: calls %d: %w", i, err)
		}
	}
	if h.Calls != nil && count(h.Secrets != nil, h.KV != nil, h.JWKS != nil, h.HTTP != nil) > 0 {
		return errors.New("host: calls beside secrets, kv, jwks or http, want one or the others")
	}
	return nil
}

// Rewind makes the first of Calls the next, and forgets what was logged and what went wrong.
func (h *Host) Rewind() { h.next, h.faults, h.Lines = 0, nil, nil }

// Ask gives the answer of the next of Calls, which must be the one that asks the same. What
// was not recorded is answered with unavailable, and [Host.Check] tells of it.
func (h *Host) Ask(asked HostCall) HostCall {
	if h.Answer != nil {
		return h.Answer(asked)
	}
	got := asked.String()
	if h.next >= len(h.Calls) {
		h.faults = append(h.faults, fmt.Errorf("host call %d: got %s, want no more calls", h.next, got))
	} else if want := h.Calls[h.next].String(); got != want {
		h.faults = append(h.faults, fmt.Errorf("host call %d: got %s, want %s", h.next, got, want))
	} else {
		h.next++
		return h.Calls[h.next-1]
	}
	asked.Status = StatusName(abi.StatusUnavailable)
	return asked
}

// ordered tells whether calls are answered one by one.
func (h *Host) ordered() bool { return h.Calls != nil || h.Answer != nil }

// Check says how the calls since [Host.Rewind] differ from Calls; nil when they do not, or
// when there are none to compare with.
func (h *Host) Check() error {
	err := errors.Join(h.faults...)
	if err == nil && h.next < len(h.Calls) {
		err = fmt.Errorf("host call %d: got none, want %s", h.next, h.Calls[h.next])
	}
	return err
}

// ask is Ask for what answers a value.
func (h *Host) ask(asked HostCall) (value []byte, status int32) {
	answer := h.Ask(asked)
	return answer.Value, int32(answer.Status)
}

// askHTTP is Ask for an outbound call.
func (h *Host) askHTTP(r abi.Result) (answer []byte, status int32) {
	asked := HostCall{Call: CallHTTP, Method: r.Bytes(abi.ResultHTTPMethod), URL: r.Bytes(abi.ResultHTTPURL), Body: r.Bytes(abi.ResultHTTPBody)}
	if len(asked.Method) == 0 {
		asked.Method = Bytes("GET")
	}
	for name, value := range r.Pairs(abi.ResultHTTPHeaders).All {
		asked.Headers = append(asked.Headers, Pair{name, value})
	}
	a := h.Ask(asked)
	if a.Answer == nil {
		return nil, int32(a.Status)
	}
	var w abi.Writer[abi.Field]
	write := func(buf []byte) (int, error) {
		w.Start(buf, 0, 3)
		w.Uint(abi.FieldHTTPStatus, uint64(a.Answer.Status))
		w.BeginPairs(abi.FieldHTTPHeaders)
		for _, p := range a.Answer.Headers {
			w.Pair(p[0], p[1])
		}
		w.EndPairs()
		w.Bytes(abi.FieldHTTPBody, a.Answer.Body)
		return w.Finish()
	}
	_, err := write(nil)
	var room *abi.NoRoomError
	if !errors.As(err, &room) {
		return nil, int32(abi.StatusInternal)
	}
	answer = make([]byte, room.Need)
	if _, err := write(answer); err != nil {
		return nil, int32(abi.StatusLimit)
	}
	return answer, 0
}
