module github.com/wasmgate/wasmgate/sdk/go/examples

go 1.26.0

require (
	github.com/tetratelabs/wazero v1.12.0
	github.com/wasmgate/wasmgate v0.0.0
	github.com/wasmgate/wasmgate/sdk/go v0.0.0
)

require golang.org/x/sys v0.49.0 // indirect

replace (
	github.com/wasmgate/wasmgate => ../../..
	github.com/wasmgate/wasmgate/sdk/go => ..
)
