#!/bin/sh
# Usage: build.sh NAME OUT.wasm
# Compiles examples/NAME.zig to a module, with the zig in PATH or that of Python's package ziglang.
set -eu
case $2 in /*) out=$2 ;; *) out=$PWD/$2 ;; esac
cd "$(dirname "$0")"
zig=zig
command -v zig >/dev/null || zig='python3 -m ziglang'
exec $zig build-exe -target wasm32-freestanding -O ReleaseSafe -fno-entry -rdynamic -fstrip --stack 262144 \
	-femit-bin="$out" --dep wasmgate -Mroot="examples/$1.zig" -Mwasmgate=src/wasmgate.zig
