#!/bin/sh
# Usage: build.sh EXAMPLE OUT.wasm
# Compiles an example to a module; abi/v1/cmd/pack then adds the manifest. asc comes from
# here, by npm ci, or from PATH.
set -eu
cd "$(dirname "$0")"
PATH="$PWD/node_modules/.bin:$PATH"
exec asc "examples/$1.ts" --outFile "$2"
