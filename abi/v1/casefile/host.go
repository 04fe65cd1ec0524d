package casefile

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// Host answers for the capabilities in a case:
//
//	{
//	  "secrets": {"name": "value"},
//	  "kv":      {"key": "value"},
//	  "jwks":    [{"url": "https://id.example", "token": "a.b.c", "status": "ok"}],
//	  "http":    [{"method": "GET", "url": "https://x.example/a", "status": 200,
//	               "headers": [["etag", "1"]], "body": "hi"},
//	              {"url": "https://down.example/", "error": "timeout"}]
//	}
//
// or, where an answer depends on what was asked before, the calls of capabilities in their
// order, each with its answer, as in [HostCall]; the guest must make these and no others,
// which [Host.Check] tells:
//
//	{
//	  "grants": {"kv": ["user/"]},
//	  "calls":  [{"call": "kv.get", "key": "user/a", "value": "1"}]
//	}
//
// Grants are the policy's, by the names that the contract has for them; without them
// whatever the answers are for is granted.
//
// What is not there is not granted; a kv key that is not there is not found. A jwks entry
// without token answers for every token, an http entry without method for every method;
// the first that matches counts. Its methods are those of the Go SDK's Native interface.
// Not safe for concurrent use. The zero value grants nothing.
type Host struct {
	Secrets map[string]string   `json:"secrets,omitempty"`
	KV      map[string]string   `json:"kv,omitempty"`
	JWKS    []hostKey           `json:"jwks,omitempty"`
	HTTP    []hostAnswer        `json:"http,omitempty"`
	Grants  map[string][]string `json:"grants,omitempty"`
	Calls   []HostCall          `json:"calls,omitzero"`
	// Lines is what was logged.
	Lines []string `json:"-"`

	// Answer answers the calls of capabilities, instead of Calls; for who makes a recording.
	Answer func(HostCall) HostCall `json:"-"`

	next   int // of Calls
	faults []error
}

type hostKey struct {
	URL    string     `json:"url"`
	Token  string     `json:"token"`
	Status StatusName `json:"status"`
}

type hostAnswer struct {
	Method  string          `json:"method"`
	URL     string          `json:"url"`
	Status  uint64          `json:"status"`
	Headers json.RawMessage `json:"headers"`
	Body    json.RawMessage `json:"body"`
	Error   StatusName      `json:"error"`
}

// StatusName is a status of the contract, written by name.
type StatusName abi.Status

// MarshalJSON writes the name.
func (s StatusName) MarshalJSON() ([]byte, error) { return json.Marshal(abi.Status(s).String()) }

// UnmarshalJSON reads the name.
func (s *StatusName) UnmarshalJSON(text []byte) error {
	var name string
	if err := json.Unmarshal(text, &name); err != nil {
		return err
	}
	status, ok := abi.StatusByName(name)
	*s = StatusName(status)
	return known(ok, "status", name)
}

// Log keeps a line.
func (h *Host) Log(level int32, line string) {
	h.Lines = append(h.Lines, fmt.Sprintf("%d %s", level, line))
}

// HTTPCall answers an outbound call.
func (h *Host) HTTPCall(record []byte) (answer []byte, status int32) {
	r, err := abi.Parse[abi.ResultField](record)
	if err != nil {
		return nil, int32(abi.StatusBadArgument)
	}
	if h.ordered() {
		return h.askHTTP(r)
	}
	method, url := string(r.Bytes(abi.ResultHTTPMethod)), string(r.Bytes(abi.ResultHTTPURL))
	i := slices.IndexFunc(h.HTTP, func(a hostAnswer) bool {
		return a.URL == url && (a.Method == "" || a.Method == method)
	})
	if i < 0 {
		return nil, int32(abi.StatusNotGranted)
	}
	a := h.HTTP[i]
	if a.Error != 0 {
		return nil, int32(a.Error)
	}
	fields := Fields{"http_status": json.RawMessage(fmt.Sprint(a.Status))}
	if a.Headers != nil {
		fields["http_headers"] = a.Headers
	}
	if a.Body != nil {
		fields["http_body"] = a.Body
	}
	if answer, err = EncodeRequest(0, fields); err != nil {
		return nil, int32(abi.StatusInternal)
	}
	return answer, 0
}

// KVGet reads a value.
func (h *Host) KVGet(key string) (value []byte, status int32) {
	if h.ordered() {
		return h.ask(HostCall{Call: CallKVGet, Key: Bytes(key)})
	}
	return lookUpIn(h.KV, key, abi.StatusNotFound)
}

// KVSet stores a value for as long as h is there.
func (h *Host) KVSet(key string, value []byte, ttlMS int64) (status int32) {
	if h.ordered() {
		_, status = h.ask(HostCall{Call: CallKVSet, Key: Bytes(key), Value: value, TTLMS: ttlMS})
		return status
	}
	if h.KV == nil {
		h.KV = map[string]string{}
	}
	h.KV[key] = string(value)
	return 0
}

// KVDelete removes a value.
func (h *Host) KVDelete(key string) (status int32) {
	if h.ordered() {
		_, status = h.ask(HostCall{Call: CallKVDelete, Key: Bytes(key)})
		return status
	}
	delete(h.KV, key)
	return 0
}

// Secret reads a secret.
func (h *Host) Secret(name string) (value []byte, status int32) {
	if h.ordered() {
		return h.ask(HostCall{Call: CallSecret, Name: Bytes(name)})
	}
	return lookUpIn(h.Secrets, name, abi.StatusNotGranted)
}

// HMACSHA256 signs with a secret.
func (h *Host) HMACSHA256(secret string, data []byte) (sum [32]byte, status int32) {
	key, status := h.Secret(secret)
	if status == 0 {
		mac := hmac.New(sha256.New, key)
		mac.Write(data)
		copy(sum[:], mac.Sum(nil))
	}
	return sum, status
}

// JWKSVerify gives the status of the first entry that matches.
func (h *Host) JWKSVerify(url, token string) (status int32) {
	if h.ordered() {
		_, status = h.ask(HostCall{Call: CallJWKS, URL: Bytes(url), Token: Bytes(token)})
		return status
	}
	for _, k := range h.JWKS {
		if k.URL == url && (k.Token == "" || k.Token == token) {
			return int32(k.Status)
		}
	}
	return int32(abi.StatusNotGranted)
}

func lookUpIn(values map[string]string, key string, missing abi.Status) ([]byte, int32) {
	if v, ok := values[key]; ok {
		return []byte(v), 0
	}
	return nil, int32(missing)
}
