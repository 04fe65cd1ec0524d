// Package project is a plugin's source folder: it makes one ([New]) and compiles it to a
// module that the gateway takes ([Open], [Project.Build]).
//
// A folder has
//
//	wasmgate-plugin.json   how it is compiled: {"language": "go"}, or for what has no SDK here
//	                       {"command": ["make", "plugin.wasm"], "module": "plugin.wasm"}
//	manifest.json          the plugin's manifest
//	testdata/*.json        its case files
//	sdk/                   a copy of the language's SDK, so that nothing but the toolchain is needed
//
// What [New] writes is composed of templates/: a frame for each language, a decision for each
// hook in it, and a case file for each hook that all languages share.
//
// Refused: a folder that has files already, unknown languages and hooks, a module that is
// not what its manifest says.
package project
