#!/usr/bin/env bash
# Runs evy-runtime's tests for other architectures under qemu-user.
#
# Usage: ci/cross.sh [aarch64|riscv64 ...]
#
# The standard library of the other architecture comes from one of two sources:
# - Route A: the compiler's own sources, if the component rust-src is installed.
# - Route B: packages of Debian sid. They are unpacked into a private folder, together with their
#   own compiler; nothing is installed system-wide.
# If neither is available, the script prints a prominent notice and succeeds. A failing test makes
# it fail.
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/debian.sh

cache=$(realpath -m "${EVY_CROSS_CACHE:-target/cross}")
mkdir -p "$cache"
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(aarch64 riscv64)

skip() {
    printf '\n****************************************************************\n' >&2
    printf '*** cross tests SKIPPED: %s\n' "$*" >&2
    printf '****************************************************************\n\n' >&2
    exit 0
}

tools=(qemu-user gcc-aarch64-linux-gnu gcc-riscv64-linux-gnu libc6-dev-arm64-cross libc6-dev-riscv64-cross)
install_tools() {
    command -v qemu-aarch64 >/dev/null && command -v qemu-riscv64 >/dev/null &&
        command -v aarch64-linux-gnu-gcc >/dev/null && command -v riscv64-linux-gnu-gcc >/dev/null &&
        return 0
    command -v apt-get >/dev/null || skip "apt-get is not available to install ${tools[*]}"
    [ "$(id -u)" = 0 ] || skip "some of these are missing, and only root can install them: ${tools[*]}"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y "${tools[@]}"; } \
        >"$cache/apt.log" 2>&1 || skip "apt-get could not install ${tools[*]} (see $cache/apt.log)"
}

# Route B: unpacks a compiler and its libraries from sid into $cache/sid/root.
fetch_sid() {
    local sid=$cache/sid
    [ -e "$sid/complete" ] && return 0
    prepare_debian sid "$sid" || skip "neither rust-src nor apt-get with a mirror is available"
    {
        apt-get "${apt_options[@]}" update &&
            apt-get "${apt_options[@]}" install -y --download-only rustc libstd-rust-dev libc6 libgcc-s1 &&
            # Only the libraries are downloaded. Their dependencies are needed only to run a
            # compiler on that architecture.
            (cd "$sid/cache/archives" &&
                apt-get "${apt_options[@]}" download libstd-rust-dev:arm64 libstd-rust-dev:riscv64)
    } >"$sid/log" 2>&1 || skip "rust-src is not installed, and sid's compiler could not be downloaded (see $sid/log)"
    unpack_debian "$sid" || skip "sid's compiler could not be unpacked"
    # The compiler runs with sid's loader and libraries, because it may need a newer libc than this
    # machine has.
    cat >"$sid/rustc" <<END
#!/bin/sh
root=$sid/root
exec "\$root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" \\
    --library-path "\$root/usr/lib/x86_64-linux-gnu:\$root/usr/lib" \\
    "\$root/usr/bin/rustc" --sysroot "\$root/usr" "\$@"
END
    chmod +x "$sid/rustc"
    "$sid/rustc" --version >/dev/null 2>&1 || skip "sid's compiler does not run on this machine"
    touch "$sid/complete"
}

[ "$(uname -m)" = x86_64 ] || skip "this machine is not x86_64"
install_tools
arguments=(test --package evy-runtime --lib --tests)
[ -e Cargo.lock ] && arguments+=(--locked)
if [ -d "$(rustc --print sysroot)/lib/rustlib/src/rust/library/std" ]; then
    route=A
    export RUSTC_BOOTSTRAP=1
    arguments+=(-Zbuild-std=std,panic_unwind,proc_macro,test)
else
    route=B
    fetch_sid
    export RUSTC=$cache/sid/rustc
fi

export CARGO_TARGET_DIR=$cache/build EVY_UNDER_QEMU=1
for arch in "${targets[@]}"; do
    case $arch in
        aarch64) target=aarch64-unknown-linux-gnu ;;
        riscv64) target=riscv64gc-unknown-linux-gnu ;;
        *) echo "unknown architecture: $arch" >&2 && exit 2 ;;
    esac
    variable=$(echo "CARGO_TARGET_$target" | tr 'a-z-' 'A-Z_')
    export EVY_TEST_RUNNER="qemu-$arch -L /usr/$arch-linux-gnu"
    export "${variable}_LINKER=$arch-linux-gnu-gcc" "${variable}_RUNNER=$EVY_TEST_RUNNER"
    echo "== $target, route $route: $("${RUSTC:-rustc}" --version), $("qemu-$arch" --version | head -n 1)"
    cargo "${arguments[@]}" --target "$target"
done
