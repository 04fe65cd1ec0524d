#!/bin/sh
# Usage: build.sh NAME OUT.wasm
# Compiles examples/NAME.rs, which Cargo.toml names, to a module. Where the installed toolchain lacks the target,
# Debian's builds std from rust-web-src, with the few crates that std needs from the registry.
set -eu
case $2 in /*) out=$2 ;; *) out=$PWD/$2 ;; esac
cd "$(dirname "$0")"
target=wasm32-unknown-unknown
name=$1
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
set -- build -q --release --target "$target" --example "$name"
if test -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/$target/lib"; then
	cargo "$@" --offline
else
	export RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc RUSTFLAGS=-Clinker=wasm-ld CARGO_TARGET_DIR="$CARGO_TARGET_DIR-debian"
	/usr/bin/cargo "$@" -Zbuild-std=std,panic_abort
fi
cp "$CARGO_TARGET_DIR/$target/release/examples/$name.wasm" "$out"
