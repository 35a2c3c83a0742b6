#!/usr/bin/env bash
# Counts the instructions of the cheapest operations, which is repeatable on a busy machine. It fails if
# one takes more than its limit.
#
# The limits are about a fifth above what the operations took when they were set, because the compiler's
# version matters too.
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/debian.sh

need valgrind valgrind
[ "$(uname -m)" = x86_64 ] || { echo "skipped: the limits are those of x86_64"; exit 0; }

cargo build --release --locked -p evy-benches --bin instructions
program=${CARGO_TARGET_DIR:-target}/release/instructions

# Prints how many instructions the program takes to repeat an operation so often.
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

status=0
while read -r operation limit; do
    # The difference is free of what the program takes to begin and to end.
    few=$(count "$operation" 20000)
    many=$(count "$operation" 40000)
    each=$(((many - few) / 20000))
    printf '%-10s %4d instructions (limit %d)\n' "$operation" "$each" "$limit"
    [ "$each" -le "$limit" ] || status=1
done <<END
yield_now 58
spawn_n 240
spawn_join 810
queue 380
END
exit "$status"
