#!/bin/sh
# Usage: build.sh EXAMPLE OUT.wasm
# Compiles an example to a module; abi/v1/cmd/pack then adds the manifest. Where the
# installed toolchain lacks the target, Debian's builds std from rust-web-src, with the
# few crates that std needs from the registry.
set -eu
cd "$(dirname "$0")"
target=wasm32-unknown-unknown
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
set -- "$1" "$2" build -q --release --target "$target" --example "$1"
example=$1 out=$2
shift 2
if test -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/$target/lib"; then
	cargo "$@" --offline
else
	export RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc RUSTFLAGS=-Clinker=wasm-ld CARGO_TARGET_DIR="$CARGO_TARGET_DIR-debian"
	/usr/bin/cargo "$@" -Zbuild-std=std,panic_abort
fi
cp "$CARGO_TARGET_DIR/$target/release/examples/$example.wasm" "$out"
