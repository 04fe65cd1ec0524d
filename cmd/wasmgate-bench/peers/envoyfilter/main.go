//go:build wasip1

// Command envoyfilter is the proxy-wasm 0.2.0 filter of the benchmark: it reads one
// request header and sets one. It speaks the ABI directly, without an SDK's bookkeeping,
// so that Envoy is measured at its best. Build it with -buildmode=c-shared.
package main

import "unsafe"

const requestHeaders = 0

//go:wasmimport env proxy_get_header_map_value
func getHeader(kind uint32, name unsafe.Pointer, nameLen uint32, value, valueLen unsafe.Pointer) uint32

//go:wasmimport env proxy_replace_header_map_value
func replaceHeader(kind uint32, name unsafe.Pointer, nameLen uint32, value unsafe.Pointer, valueLen uint32) uint32

//go:wasmimport env proxy_send_local_response
func reply(status uint32, details unsafe.Pointer, detailsLen uint32, body unsafe.Pointer, bodyLen uint32, headers unsafe.Pointer, headersLen uint32, grpc int32) uint32

var (
	authorization = []byte("authorization")
	gateway       = []byte("x-gateway")
	name          = []byte("envoy+wasm")
	scratch       [16384]byte // where Envoy puts a header's value
)

//go:wasmexport proxy_abi_version_0_2_0
func abiVersion() {}

//go:wasmexport proxy_on_memory_allocate
func allocate(size uint32) unsafe.Pointer {
	if size > uint32(len(scratch)) {
		return nil
	}
	return unsafe.Pointer(&scratch[0])
}

//go:wasmexport proxy_on_vm_start
func onStart(uint32, uint32) uint32 { return 1 }

//go:wasmexport proxy_on_configure
func onConfigure(uint32, uint32) uint32 { return 1 }

//go:wasmexport proxy_on_context_create
func onContextCreate(uint32, uint32) {}

//go:wasmexport proxy_on_request_headers
func onRequestHeaders(uint32, uint32, uint32) uint32 {
	var value, length uint32
	status := getHeader(requestHeaders, unsafe.Pointer(&authorization[0]), uint32(len(authorization)), unsafe.Pointer(&value), unsafe.Pointer(&length))
	if status != 0 || length < 8 || string(scratch[:7]) != "Bearer " {
		reply(401, nil, 0, nil, 0, nil, 0, -1)
		return 1 // pause
	}
	replaceHeader(requestHeaders, unsafe.Pointer(&gateway[0]), uint32(len(gateway)), unsafe.Pointer(&name[0]), uint32(len(name)))
	return 0 // continue
}

//go:wasmexport proxy_on_done
func onDone(uint32) uint32 { return 1 }

func main() {}
