#!/usr/bin/env bash
# Installs what `cargo xtask build-ebpf` needs on Debian, and nothing that is there already: a compiler with a `core`
# for BPF, the LLVM that it is built on, and bpf-linker built against that same LLVM.
set -euo pipefail

bpf_linker_version=0.13.0
rustc=/usr/bin/rustc
target=bpfel-unknown-none

as_root() {
    if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo "$@"; fi
}

missing() {
    local package
    for package in "$@"; do
        if [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
            printf '%s\n' "$package"
        fi
    done
}

install() {
    local packages
    mapfile -t packages < <(missing "$@")
    if [[ ${#packages[@]} -gt 0 ]]; then
        if [[ -z ${lists_are_fresh:-} ]]; then
            as_root apt-get update
            lists_are_fresh=yes
        fi
        DEBIAN_FRONTEND=noninteractive as_root apt-get install -y --no-install-recommends "${packages[@]}"
    fi
}

command -v apt-get >/dev/null || {
    echo "this is not Debian: rustup toolchain install nightly --component rust-src, then cargo install bpf-linker" >&2
    exit 1
}

# rustc-web installs beside a rustup toolchain; only Debian's own package `rustup` is in its way.
install rustc-web libstd-rust-web-dev-bpf
"$rustc" --print target-libdir --target "$target" >/dev/null

# The linker reads the compiler's bitcode, so the two must be of one LLVM.
llvm=$("$rustc" -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
install "llvm-$llvm-dev"

linker=$(command -v bpf-linker || true)
if [[ -z $linker && -x ${CARGO_HOME:-$HOME/.cargo}/bin/bpf-linker ]]; then
    linker=${CARGO_HOME:-$HOME/.cargo}/bin/bpf-linker
fi
if [[ -z $linker ]] \
    || [[ $("$linker" --version) != "bpf-linker $bpf_linker_version" ]] \
    || ! ldd "$linker" | grep "libLLVM[-.].*$llvm" >/dev/null; then
    prefix=/usr/lib/llvm-$llvm
    # Not in this repository's folder, whose configuration is not the linker's.
    cd /
    LLVM_PREFIX=$prefix RUSTFLAGS="-C link-arg=-L$prefix/lib -C link-arg=-Wl,-rpath,$prefix/lib" \
        cargo install bpf-linker --version "$bpf_linker_version" --locked --force \
        --no-default-features --features "llvm-$llvm"
fi

"$rustc" --version
"${linker:-bpf-linker}" --version
