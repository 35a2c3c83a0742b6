#!/usr/bin/env bash
# Runs the tests of the runtime, net and pool under AddressSanitizer, which finds accesses to freed
# memory. Arguments are passed to the test binaries, such as the name of a test.
#
# The stable compiler has the sanitizer too, but accepts its flag only with RUSTC_BOOTSTRAP.
# Variables on the stack are not checked (`asan-stack=0`), because the sanitizer does not know of
# green stacks. Leaks are not reported either: it does not find pointers on green stacks, and
# abandoned green threads are leaked on purpose.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(rustc -vV | sed -n 's/^host: //p')
if [ "$target" != x86_64-unknown-linux-gnu ]; then
    echo "skipped: AddressSanitizer is set up for x86_64-unknown-linux-gnu, and this is $target"
    exit 0
fi

export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/asan"
export RUSTFLAGS="-Zsanitizer=address -Cllvm-args=-asan-stack=0"
export ASAN_OPTIONS="detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=1"

check() { cargo test --locked --target "$target" "$@"; }
# The models run under loom, which switches stacks by itself.
check -p evy-runtime --lib --test coordination --test sync --test threads -- "$@"
# The sanitizer has its own handler for stack overflows.
check -p evy-runtime --test process -- --skip crash:: "$@"
check -p evy-net -p evy-pool --tests -- "$@"
