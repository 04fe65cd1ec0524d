package main

import (
	"testing"

	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/sdk/go"
)

func TestCases(t *testing.T) {
	cases, err := casefile.Load("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			wasmgate.SetNative(c.Host)
			if err := c.Run(casefile.Native(wasmgate.Call), nil); err != nil {
				t.Error(err)
			}
		})
	}
}
