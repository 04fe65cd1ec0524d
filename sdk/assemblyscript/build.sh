#!/bin/sh
# Usage: build.sh NAME OUT.wasm
# Compiles examples/NAME.ts to a module. asc comes from here, where npm ci puts it, or from PATH.
set -eu
case $2 in /*) out=$2 ;; *) out=$PWD/$2 ;; esac
cd "$(dirname "$0")"
PATH="$PWD/node_modules/.bin:$PATH"
exec asc "examples/$1.ts" --outFile "$out"
