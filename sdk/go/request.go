package wasmgate

import (
	"unsafe"

	"github.com/wasmgate/wasmgate/sdk/go/internal/wire"
)

// Request is what the host tells a hook. It holds what the manifest's field mask asks
// for and what the hook has; the rest is absent and read as the zero value. Everything
// it gives aliases the scratch area and holds until the handler returns.
type Request struct {
	b     []byte
	table []byte
}

// parse checks header and table; what stands in a field is checked where it is read.
func (r *Request) parse(b []byte) {
	if len(b) < wire.HeaderBytes || load32(b, 0) != wire.Magic || load16(b, 4) != wire.Version ||
		uint64(load32(b, 8)) != uint64(len(b)) || load16(b, 14) != 0 {
		panic("wasmgate: malformed request record")
	}
	count := int(load16(b, 6))
	if count > wire.MaxFields {
		panic("wasmgate: request record of too many fields")
	}
	r.b, r.table = b, b[wire.HeaderBytes:wire.HeaderBytes+count*wire.EntryBytes]
	for i, last := 0, -1; i < len(r.table); i += wire.EntryBytes {
		key := load32(r.table, i)
		id, typ := int(key&0xffff), uint16(key>>16)
		if id <= last {
			panic("wasmgate: request record with fields out of order")
		}
		if uint64(load32(r.table, i+4))+uint64(load32(r.table, i+8)) > uint64(len(b)) {
			panic("wasmgate: request field out of the record")
		}
		if id < len(wire.RequestTypes) && wire.RequestTypes[id] != typ && wire.RequestTypes[id] != 0 {
			panic("wasmgate: request field of a wrong type")
		}
		last = id
	}
}

// data is the data of a field, nil when it is absent.
func (r *Request) data(id uint16) []byte {
	for i := 0; i < len(r.table); i += wire.EntryBytes {
		if load16(r.table, i) == id {
			start, length := uint64(load32(r.table, i+4)), uint64(load32(r.table, i+8))
			return r.b[start : start+length : start+length]
		}
	}
	return nil
}

func (r *Request) text(id uint16) string { return view(r.data(id)) }

func (r *Request) number(id uint16) uint64 {
	if data := r.data(id); data != nil {
		return load64(data, 0)
	}
	return 0
}

func (r *Request) pairs(id uint16) Pairs { return Pairs{r.data(id)} }

// view is a string over b without a copy.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// ID is the id of the request, as clients see it in x-amzn-RequestId.
func (r *Request) ID() string { return r.text(wire.FieldRequestID) }

// TimeMS is when the request began, Unix milliseconds: the only clock of a decision.
func (r *Request) TimeMS() uint64 { return r.number(wire.FieldTimeMS) }

// Seed is the random seed of the request: the only randomness of a decision.
func (r *Request) Seed() uint64 { return r.number(wire.FieldSeed) }

// APIID is the id of the API.
func (r *Request) APIID() string { return r.text(wire.FieldAPIID) }

// Stage is the name of the stage.
func (r *Request) Stage() string { return r.text(wire.FieldStage) }

// Route is the route key as configured, such as GET /pets/{id}.
func (r *Request) Route() string { return r.text(wire.FieldRoute) }

// ResourcePath is the resource path as configured, such as /pets/{id}.
func (r *Request) ResourcePath() string { return r.text(wire.FieldResourcePath) }

// Method is the method, case kept.
func (r *Request) Method() string { return r.text(wire.FieldMethod) }

// Scheme is https.
func (r *Request) Scheme() string { return r.text(wire.FieldScheme) }

// Authority is host and port that the client asked for, lower case.
func (r *Request) Authority() string { return r.text(wire.FieldAuthority) }

// Path is the path below stage and base path, percent-encoding untouched, without
// query: the path that is authorized and sent.
func (r *Request) Path() string { return r.text(wire.FieldPath) }

// RequestPath is the path as the client sent it.
func (r *Request) RequestPath() string { return r.text(wire.FieldRequestPath) }

// Query is the raw query without the question mark.
func (r *Request) Query() string { return r.text(wire.FieldQuery) }

// Headers is the request's headers, names lower case.
func (r *Request) Headers() Pairs { return r.pairs(wire.FieldHeaders) }

// Header is all values of a header joined by comma and blank (RFC 9110, section 5.2),
// so that a second value cannot hide behind the first; empty when absent. The name is
// lower case. It allocates only when there are several.
func (r *Request) Header(name string) string { return r.Headers().join(name) }

// QueryParams is the query parameters, percent-decoded.
func (r *Request) QueryParams() Pairs { return r.pairs(wire.FieldQueryParams) }

// QueryParam is the first value of a query parameter, percent-decoded.
func (r *Request) QueryParam(name string) string { return r.QueryParams().Get(name) }

// PathParams is the path variables, percent-encoding untouched.
func (r *Request) PathParams() Pairs { return r.pairs(wire.FieldPathParams) }

// PathParam is a path variable, percent-encoding untouched.
func (r *Request) PathParam(name string) string { return r.PathParams().Get(name) }

// StageVariables is the variables of the stage.
func (r *Request) StageVariables() Pairs { return r.pairs(wire.FieldStageVariables) }

// StageVariable is a variable of the stage.
func (r *Request) StageVariable(name string) string { return r.StageVariables().Get(name) }

// SourceIP is the address of the client, without port or zone.
func (r *Request) SourceIP() string { return r.text(wire.FieldSourceIP) }

// SourcePort is the port of the client.
func (r *Request) SourcePort() int { return int(r.number(wire.FieldSourcePort)) }

// Protocol is HTTP/1.1 or HTTP/2.0, for logs.
func (r *Request) Protocol() string { return r.text(wire.FieldProtocol) }

// TLSVersion is TLSv1.2 or TLSv1.3.
func (r *Request) TLSVersion() string { return r.text(wire.FieldTLSVersion) }

// TLSServerName is the SNI of the connection, lower case.
func (r *Request) TLSServerName() string { return r.text(wire.FieldTLSServerName) }

// Principal is who calls, as authorize established it.
func (r *Request) Principal() string { return r.text(wire.FieldPrincipal) }

// Context is the context values that authorize established.
func (r *Request) Context() Pairs { return r.pairs(wire.FieldContext) }

// APIKeyID is the id of the API key that identify established.
func (r *Request) APIKeyID() string { return r.text(wire.FieldAPIKeyID) }

// UsagePlanID is the usage plan of that key.
func (r *Request) UsagePlanID() string { return r.text(wire.FieldUsagePlanID) }

// Body is the request's body as the body mode of the manifest says.
func (r *Request) Body() []byte { return r.data(wire.FieldBody) }

// BodyTruncated tells that Body is only the beginning.
func (r *Request) BodyTruncated() bool { return r.number(wire.FieldBodyTruncated) != 0 }

// BodyLength is the length of the whole body; false when it is not known.
func (r *Request) BodyLength() (n uint64, known bool) {
	return r.number(wire.FieldBodyLength), r.data(wire.FieldBodyLength) != nil
}

// State is what an earlier hook of the same policy left in this request.
func (r *Request) State() []byte { return r.data(wire.FieldState) }

// Integration is the route's integration as JSON (integrate, map_response).
func (r *Request) Integration() []byte { return r.data(wire.FieldIntegration) }
