#!/bin/sh
# Usage: build.sh FOLDER OUT.wasm
# Compiles FOLDER/main.c to a module without libc. The stack comes first in memory: one that is full traps.
set -eu
exec clang --target=wasm32 -std=c11 -O2 -ffreestanding -fno-builtin -nostdlib -mbulk-memory \
	-fvisibility=hidden -Wall -Wextra -Werror -I"$(dirname "$0")" \
	-Wl,--no-entry -Wl,--strip-debug -Wl,-z,stack-size=65536 -Wl,--stack-first -o "$2" "$1/main.c"
