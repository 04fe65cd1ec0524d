// Build compiles every plugin here to Wasm, with its manifest and schema inside:
//
//	go run ./cmd/build -o DIR
//
// A plugin whose sources have not changed since is left alone. The same sources and Go
// version give the same bytes, wherever they are built.
package main
