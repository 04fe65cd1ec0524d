module github.com/wasmgate/wasmgate/plugins

go 1.26.0

require (
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3
	github.com/wasmgate/wasmgate v0.0.0
	github.com/wasmgate/wasmgate/sdk/go v0.0.0
)

require golang.org/x/text v0.43.0 // indirect

replace (
	github.com/wasmgate/wasmgate => ../
	github.com/wasmgate/wasmgate/sdk/go => ../sdk/go
)
