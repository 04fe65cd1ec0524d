module github.com/wasmgate/wasmgate/plugins

go 1.26.0
