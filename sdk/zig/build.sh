#!/bin/sh
# Usage: build.sh EXAMPLE OUT.wasm
# Compiles an example to a module; abi/v1/cmd/pack then adds the manifest.
set -eu
cd "$(dirname "$0")"
exec zig build-exe -target wasm32-freestanding -O ReleaseSafe -fno-entry -rdynamic -fstrip \
	-femit-bin="$2" --dep wasmgate -Mroot="examples/$1.zig" -Mwasmgate=src/wasmgate.zig
