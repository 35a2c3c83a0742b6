#!/usr/bin/env bash
# Runs tests of the runtime, net and pool under valgrind, which finds uses of memory that is freed
# or was never written. Arguments are passed to the test binaries, such as the name of a test.
#
# valgrind must distinguish a switch to another stack from a large frame. No frame is larger than the guard
# between two green stacks, so `--max-stackframe` is the size of a guard, and no stack has to be
# registered.
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/debian.sh

need valgrind valgrind

target=$(rustc -vV | sed -n 's/^host: //p')
runner="valgrind --quiet --error-exitcode=99 --leak-check=no --max-stackframe=65536 --fair-sched=yes"
export "CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")_RUNNER=$runner"
# valgrind is as slow as an emulator. With this, tests have more time, and those that build programs
# or measure time are skipped.
export EVY_UNDER_QEMU=1
export EVY_TEST_RUNNER=$runner

check() { cargo test --locked "$@"; }
if [ "${1:-}" = --short ]; then
    shift
    check -p evy-runtime --test sync --test threads -- --skip stress:: "$@"
    exit
fi
check -p evy-runtime --lib --test coordination --test sync --test threads -- --skip stress:: "$@"
check -p evy-net -p evy-pool --tests -- "$@"
