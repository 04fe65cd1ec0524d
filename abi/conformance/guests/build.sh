#!/bin/sh
# Usage: build.sh OUT
# Compiles the guests to OUT/*.wasm: those in C with Debian's clang, those in WAT with wabt.
set -eu
cd "$(dirname "$0")"
cc() {
	clang --target=wasm32 -std=c11 -O2 -ffreestanding -fno-builtin -nostdlib -fvisibility=hidden -Wall -Wextra -Wno-unused-function -Werror \
		-Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=65536 "$@"
}
cc -o "$1/puppet.wasm" puppet.c
cc -o "$1/wasi.wasm" wasi.c
n=0
for power in log http kv_get kv_set kv_delete secret sha256 hmac_sha256 jwks; do
	n=$((n + 1))
	cc -DPOWER=$n -o "$1/power_$power.wasm" power.c
done
for c in shims store keep hash outbound observed reader tokens lines; do
	cc -o "$1/$c.wasm" $c.c
done
for wat in *.wat; do
	wat2wasm -o "$1/${wat%.wat}.wasm" "$wat"
done
