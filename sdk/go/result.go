package wasmgate

import "github.com/wasmgate/wasmgate/sdk/go/internal/wire"

// Decision is what a hook decided. The zero value is [Continue].
type Decision uint64

// The decisions; each hook package says which of them it takes.
const (
	// Continue has no opinion: the request goes on. An authorize hook that continues denies.
	Continue Decision = wire.DecisionContinue
	// Allow lets the request in.
	Allow Decision = wire.DecisionAllow
	// Deny refuses it.
	Deny Decision = wire.DecisionDeny
	// Reply answers in the upstream's place.
	Reply Decision = wire.DecisionReply
)

// Duration is a time in milliseconds. Package time would add a seventh to the size of
// a small plugin.
type Duration uint64

// Units of [Duration]: 5 * wasmgate.Minute.
const (
	Millisecond Duration = 1
	Second               = 1000 * Millisecond
	Minute               = 60 * Second
	Hour                 = 60 * Minute
)

// Hold says for how many requests a result holds; meanwhile the host does not call the
// guest. The zero value is for this request.
type Hold struct {
	scope uint64
	ttl   Duration
}

// ForRoute holds for every request of this route until the configuration changes: only
// for a result that does not depend on the request but by selectors.
func ForRoute() Hold { return Hold{scope: wire.ScopeRoute} }

// ForIdentity holds for this identity (the selectors that configure named) on every
// route of this policy, for ttl, at most 24 hours.
func ForIdentity(ttl Duration) Hold { return Hold{wire.ScopeIdentity, ttl} }

// ForIdentityOnRoute holds for this identity on this route.
func ForIdentityOnRoute(ttl Duration) Hold { return Hold{wire.ScopeIdentityRoute, ttl} }

// Answer is what the client of a deny or a reply gets. The zero value is the hook's own
// status with the status's error type and message.
type Answer struct {
	// Status is three digits from 200; 0 is the hook's.
	Status int
	// ErrorType is x-amzn-ErrorType of a deny; empty is the status's.
	ErrorType string
	// Message is for the client of a deny; empty is the status's.
	Message string
	// Headers are added.
	Headers []Pair
	// Body is the body of a reply, or of a deny that wants its own; nil is none.
	Body []byte
}

// Value is a template that the host joins for each request: literals and selectors.
// Make one with [Text], [Select] and [Concat]. The zero value is absent.
type Value struct {
	text  string
	kind  uint8
	parts []Value
}

const (
	absent = iota
	literal
	selected
	concat
)

// Text is a literal.
func Text(s string) Value { return Value{text: s, kind: literal} }

// Select is what the selector, such as header.x-api-key or source_ip, gives for the
// request at hand; abi/v1/README.md lists them. Header names are lower case.
func Select(selector string) Value { return Value{text: selector, kind: selected} }

// Concat is its parts one after the other. In keys the parts are hashed as a tuple.
func Concat(parts ...Value) Value { return Value{kind: concat, parts: parts} }

// Edit is one change of a request or response. Make one with the functions below.
type Edit struct {
	op    uint16
	name  string
	value Value
}

// SetHeader replaces all values of a header by one.
func SetHeader(name string, v Value) Edit { return Edit{wire.OpSetHeader, name, v} }

// AddHeader appends a value to a header.
func AddHeader(name string, v Value) Edit { return Edit{wire.OpAddHeader, name, v} }

// RemoveHeader removes all values of a header.
func RemoveHeader(name string) Edit { return Edit{op: wire.OpRemoveHeader, name: name} }

// SetQuery replaces all values of a query parameter by one, which the host encodes.
func SetQuery(name string, v Value) Edit { return Edit{wire.OpSetQuery, name, v} }

// AddQuery appends a query parameter, which the host encodes.
func AddQuery(name string, v Value) Edit { return Edit{wire.OpAddQuery, name, v} }

// RemoveQuery removes all values of a query parameter.
func RemoveQuery(name string) Edit { return Edit{op: wire.OpRemoveQuery, name: name} }

// SetRawQuery replaces the query, byte for byte (map_request).
func SetRawQuery(v Value) Edit { return Edit{op: wire.OpSetRawQuery, value: v} }

// SetPath replaces the path that is sent, byte for byte (map_request).
func SetPath(v Value) Edit { return Edit{op: wire.OpSetPath, value: v} }

// SetMethod replaces the method that is sent (map_request).
func SetMethod(v Value) Edit { return Edit{op: wire.OpSetMethod, value: v} }

// SetAuthority replaces the host that is asked (map_request).
func SetAuthority(v Value) Edit { return Edit{op: wire.OpSetAuthority, value: v} }

// SetStatus replaces the status, three digits (map_response).
func SetStatus(v Value) Edit { return Edit{op: wire.OpSetStatus, value: v} }

// SetBody replaces the body.
func SetBody(v Value) Edit { return Edit{op: wire.OpSetBody, value: v} }

// SetContext sets a context value for later hooks and the access log.
func SetContext(key string, v Value) Edit { return Edit{wire.OpSetContext, key, v} }

// Bucket is one token bucket that a request draws from; the host keeps it.
type Bucket struct {
	// Name tells the buckets of a policy apart, in logs and metrics.
	Name string
	// Key makes the bucket's identity, such as Select("caller"); the zero value is one
	// bucket for all.
	Key Value
	// Rate is tokens a second.
	Rate float64
	// Burst is the bucket's size.
	Burst uint64
	// Cost is what this request takes.
	Cost uint64
}
