package main

import (
	"reflect"
	"testing"
)

// section is one section of a module that is shorter than 128 bytes.
func section(id byte, content string) string { return string([]byte{id, byte(len(content))}) + content }

func name(s string) string { return string([]byte{byte(len(s))}) + s }

// A plugin of another project is told by what its imports let it do, in our words.
func TestDescribeForeign(t *testing.T) {
	wasm := "\x00asm\x01\x00\x00\x00" + section(1, "\x01\x60\x00\x00") +
		section(2, "\x04"+name("env")+name("proxy_http_call")+"\x00\x00"+name("env")+name("proxy_log")+"\x00\x00"+
			name("wasi_unstable")+name("random_get")+"\x00\x00"+name("wasi_unstable")+name("fd_read")+"\x00\x00") +
		section(7, "\x02"+name("proxy_abi_version_0_2_1")+"\x00\x00"+name("proxy_on_request_headers")+"\x00\x00")
	got := describe("other", []byte(wasm))
	got.SHA256 = ""
	want := pluginInfo{ID: "other", ABI: "proxy-wasm", Hooks: []string{"proxy_on_request_headers"},
		Imports: []string{"env proxy_http_call", "env proxy_log", "wasi_unstable random_get"},
		Powers:  []string{"calls the upstreams that the grant http names", "writes lines to the log", "draws random numbers"}, Size: len(wasm)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}
