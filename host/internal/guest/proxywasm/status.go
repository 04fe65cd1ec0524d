package proxywasm

// status is what every host function answers.
type status uint32

// The statuses of the specification that are in use. Guests know no others: the Rust SDK
// aborts on a number that it does not expect.
const (
	statusOK            status = 0
	statusNotFound      status = 1
	statusBadArgument   status = 2
	statusInvalidMemory status = 6
	statusEmpty         status = 7
	statusCASMismatch   status = 8
	statusInternal      status = 10
)

// action is what a callback of a stream returns. C++ guests know more ways to pause than
// one; each of them pauses.
const actionContinue = 0

// The maps of headers and trailers.
const (
	mapRequestHeaders = iota
	mapRequestTrailers
	mapResponseHeaders
	mapResponseTrailers
	mapGRPCInitial
	mapGRPCTrailing
	mapCallHeaders
	mapCallTrailers
)

// The buffers.
const (
	bufferRequestBody = iota
	bufferResponseBody
	bufferDownstream
	bufferUpstream
	bufferCallBody
	bufferGRPC
	bufferVMConfig
	bufferPluginConfig
	bufferForeign
	buffers
)

// The streams that can be continued and closed.
const (
	streamRequest = iota
	streamResponse
	streamDownstream
	streamUpstream
)

// version is an ABI version, in the order of their appearance.
type version int

const (
	v010 version = iota
	v020
	v021
)

// markers name the version by an export that is never called.
var markers = [...]string{v010: "proxy_abi_version_0_1_0", v020: "proxy_abi_version_0_2_0", v021: "proxy_abi_version_0_2_1"}

// markerPrefix begins the export that makes a module one for proxy-wasm.
const markerPrefix = "proxy_abi_version_"

func (v version) String() string { return [...]string{"0.1.0", "0.2.0", "0.2.1"}[v] }
