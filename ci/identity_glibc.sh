#!/usr/bin/env bash
# Runs the tests of pthread identities and patched calls on other versions of glibc. Identities rely on
# facts of glibc that no document promises.
#
# Usage: ci/identity_glibc.sh [SUITE of Debian ...]
#
# By default the suites are trixie (glibc 2.41) and sid (the newest). Their libraries are unpacked into
# a folder, and copies of the test programs are changed to be loaded by them.
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/debian.sh

suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(trixie sid)
[ "$(uname -m)" = x86_64 ] || { echo "this script needs x86_64" >&2; exit 2; }
if ! command -v patchelf >/dev/null; then
    apt-get update && apt-get install -y patchelf
fi
folder=$(realpath -m "${CARGO_TARGET_DIR:-target}")/glibc
mkdir -p "$folder"

# Prints the path of each test program.
programs() {
    cargo test --no-run --locked --message-format json "$@" |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'
}
# The tests compile a library of C++, which they find by its path.
mapfile -t identity < <(programs -p evy-runtime --test threads)
mapfile -t patched < <(programs -p evy-patch --test patched)
[ ${#identity[@]} -gt 0 ] && [ ${#patched[@]} -gt 0 ]

# Runs a copy of the program `$2` with the libraries below `$1`.
run() {
    local root=$1 program=$2 copy
    shift 2
    copy=$folder/$(basename "$program")
    cp "$program" "$copy"
    local libraries=$root/usr/lib/x86_64-linux-gnu
    # RPATH, unlike RUNPATH, also holds for the libraries that a library needs.
    patchelf --force-rpath --set-rpath "$libraries" \
        --set-interpreter "$libraries/ld-linux-x86-64.so.2" "$copy"
    "$copy" "$@"
}

for suite in "${suites[@]}"; do
    debian=$folder/$suite
    if [ ! -e "$debian/complete" ]; then
        prepare_debian "$suite" "$debian"
        apt-get "${apt_options[@]}" update
        (cd "$debian/cache/archives" &&
            apt-get "${apt_options[@]}" download libc6:amd64 libgcc-s1:amd64 libstdc++6:amd64)
        unpack_debian "$debian"
        touch "$debian/complete"
    fi
    printf '\n== %s: ' "$suite"
    "$debian/root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --version | head -n 1
    run "$debian/root" "${identity[0]}" identity --nocapture 2>&1 | tee "$folder/log"
    run "$debian/root" "${patched[0]}" --nocapture 2>&1 | tee -a "$folder/log"
    # Where identities do not work, the tests are skipped. That must not happen on glibc.
    if grep "^skipped: " "$folder/log"; then
        echo "these tests were skipped" >&2
        exit 1
    fi
    EVY_OWN_IDENTITY=1 run "$debian/root" "${identity[0]}"
done
