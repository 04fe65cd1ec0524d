#!/bin/sh
# Usage: build.sh OUT.wasm
# Compiles the plugin, as sdk/rust/build.sh does an example: where the installed toolchain
# lacks the target, Debian's builds std from rust-web-src.
set -eu
cd "$(dirname "$0")"
target=wasm32-unknown-unknown
export CARGO_TARGET_DIR="$PWD/../../../../.cache/cargo-proxywasm"
# Host functions are undefined until the module is loaded; newer linkers must be told.
export RUSTFLAGS=-Clink-arg=--allow-undefined
out=$1
set -- build -q --release --locked --target "$target"
if test -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/$target/lib"; then
	cargo "$@"
else
	export RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc RUSTFLAGS="$RUSTFLAGS -Clinker=wasm-ld" CARGO_TARGET_DIR="$CARGO_TARGET_DIR-debian"
	/usr/bin/cargo "$@" -Zbuild-std=std,panic_abort
fi
cp "$CARGO_TARGET_DIR/$target/release/proxywasm_guest.wasm" "$out"
