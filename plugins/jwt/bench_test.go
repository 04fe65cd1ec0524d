package main

import (
	"testing"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/sdk/go"
)

// BenchmarkAuthorize is the way of a token that is new to the gateway.
func BenchmarkAuthorize(b *testing.B) {
	cases, err := casefile.Load("testdata/tokens.json")
	if err != nil {
		b.Fatal(err)
	}
	good := cases[0]
	wasmgate.SetNative(good.Host)
	record, err := good.Record(nil)
	if err != nil {
		b.Fatal(err)
	}
	configure, err := casefile.EncodeRequest(abi.HookConfigure, casefile.Fields{"config": []byte(`{"json":` + plain + `}`)})
	if err != nil {
		b.Fatal(err)
	}
	wasmgate.Call(uint16(abi.HookConfigure), configure)
	b.ReportAllocs()
	for b.Loop() {
		wasmgate.Call(uint16(abi.HookAuthorize), record)
	}
}
