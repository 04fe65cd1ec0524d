// Command pack puts a manifest into a Wasm module:
//
//	go run ./abi/v1/cmd/pack -manifest manifest.json [-schema schema.json] -o plugin.wasm in.wasm
//
// The schema becomes the manifest's config_schema. A manifest that is wrong, or that says
// other than the module's imports and exports, is refused and nothing is written.
package main
