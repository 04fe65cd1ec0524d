package wasmgate

import "github.com/wasmgate/wasmgate/sdk/go/internal/wire"

// Status is the status of the response (map_response, observe).
func (r *Request) Status() int { return int(r.number(wire.FieldStatus)) }

// ResponseHeaders is the response's headers, names lower case (map_response, observe).
func (r *Request) ResponseHeaders() Pairs { return r.pairs(wire.FieldResponseHeaders) }

// ResponseHeader is all values of a response header joined by comma and blank.
func (r *Request) ResponseHeader(name string) string { return r.ResponseHeaders().join(name) }

// ResponseBody is the response's body as the body mode says (map_response).
func (r *Request) ResponseBody() []byte { return r.data(wire.FieldResponseBody) }

// ResponseBodyTruncated tells that ResponseBody is only the beginning.
func (r *Request) ResponseBodyTruncated() bool {
	return r.number(wire.FieldResponseBodyTruncated) != 0
}

// ResponseLength is the bytes of body sent (observe).
func (r *Request) ResponseLength() uint64 { return r.number(wire.FieldResponseLength) }

// ResponseLatencyUS is microseconds from the request's head to the response's end (observe).
func (r *Request) ResponseLatencyUS() uint64 { return r.number(wire.FieldResponseLatencyUS) }

// IntegrationLatencyUS is microseconds spent in the integration (map_response, observe).
func (r *Request) IntegrationLatencyUS() uint64 { return r.number(wire.FieldIntegrationLatencyUS) }

// IntegrationStatus is what the upstream answered (map_response, observe).
func (r *Request) IntegrationStatus() int { return int(r.number(wire.FieldIntegrationStatus)) }

// CacheStatus is hit, miss, bypass, stale or empty (observe).
func (r *Request) CacheStatus() string { return r.text(wire.FieldCacheStatus) }

// ErrorType is Amazon's error type when the gateway itself answered (map_response, observe).
func (r *Request) ErrorType() string { return r.text(wire.FieldErrorType) }

// ConfigBytes is the policy's config (configure).
func (r *Request) ConfigBytes() []byte { return r.data(wire.FieldConfig) }

// PluginID is the id of the plugin (configure).
func (r *Request) PluginID() string { return r.text(wire.FieldPluginID) }

// ParseAnswer reads the answer of an outbound call; cap/http uses it.
func ParseAnswer(record []byte) (status int, headers Pairs, body []byte) {
	var r Request
	r.parse(record)
	return int(r.number(wire.FieldHTTPStatus)), r.pairs(wire.FieldHTTPHeaders), r.data(wire.FieldHTTPBody)
}
