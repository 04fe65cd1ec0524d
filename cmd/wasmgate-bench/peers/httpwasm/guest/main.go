//go:build wasip1

// Command guest is the http-wasm guest of the benchmark: it reads one request header and
// sets one. Build it with -buildmode=c-shared.
package main

import "unsafe"

//go:wasmimport http_handler get_header_values
func getHeaderValues(kind uint32, name unsafe.Pointer, nameLen uint32, buf unsafe.Pointer, limit uint32) uint64

//go:wasmimport http_handler set_header_value
func setHeaderValue(kind uint32, name unsafe.Pointer, nameLen uint32, value unsafe.Pointer, valueLen uint32)

//go:wasmimport http_handler set_status_code
func setStatusCode(status uint32)

var (
	authorization = []byte("authorization")
	gateway       = []byte("x-gateway")
	name          = []byte("http-wasm")
	token         [8192]byte
)

//go:wasmexport handle_request
func handleRequest() uint64 {
	got := getHeaderValues(0, unsafe.Pointer(&authorization[0]), uint32(len(authorization)), unsafe.Pointer(&token[0]), uint32(len(token)))
	if length := uint32(got); length < 8 || length > uint32(len(token)) || string(token[:7]) != "Bearer " {
		setStatusCode(401)
		return 0
	}
	setHeaderValue(0, unsafe.Pointer(&gateway[0]), uint32(len(gateway)), unsafe.Pointer(&name[0]), uint32(len(name)))
	return 1 // on to the next handler
}

//go:wasmexport handle_response
func handleResponse(uint32, uint32) {}

func main() {}
