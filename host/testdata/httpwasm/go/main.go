// A handler for http-wasm with Go's own toolchain: what it finds of a system, and what it
// prints.
package main

import (
	"fmt"
	"os"
	"strings"
	"time"
	"unsafe"
)

//go:wasmimport http_handler get_config
func getConfig(buf unsafe.Pointer, limit uint32) uint32

//go:wasmimport http_handler set_header_value
func setHeaderValue(kind uint32, name unsafe.Pointer, nameLen uint32, value unsafe.Pointer, valueLen uint32)

//go:wasmimport http_handler write_body
func writeBody(kind uint32, body unsafe.Pointer, bodyLen uint32)

func set(name, value string) {
	setHeaderValue(1, unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)), unsafe.Pointer(unsafe.StringData(value)), uint32(len(value)))
}

func init() {
	fmt.Println("starting")
	buf := make([]byte, 64)
	if config := string(buf[:getConfig(unsafe.Pointer(&buf[0]), uint32(len(buf)))]); config == "exit" {
		os.Exit(1)
	}
}

//go:wasmexport handle_request
func handleRequest() uint64 {
	_, openErr := os.Open("/etc/passwd")
	_, listErr := os.ReadDir("/")
	removeErr := os.Remove("/etc/passwd")
	set("x-env", os.Getenv("PATH")+strings.Join(os.Environ(), ","))
	set("x-open", fmt.Sprint(openErr != nil, listErr != nil, removeErr != nil))
	set("x-year", fmt.Sprint(time.Now().Year()))
	fmt.Fprintln(os.Stderr, "to standard", "error")
	body := "written in Go"
	writeBody(1, unsafe.Pointer(unsafe.StringData(body)), uint32(len(body)))
	return 0
}

//go:wasmexport handle_response
func handleResponse(uint32, uint32) {}

func main() {}
