#!/usr/bin/env bash
# Measures everything in one run and writes the tables, with the machine, the versions and the date,
# to docs/figures.md. docs/BENCHMARKS.md says what they mean. Plots: target/criterion.
# Takes about half an hour; --short, a few minutes, leaves out criterion and the long rounds.
set -euo pipefail
cd "$(dirname "$0")/.."
short=${1:-}
out=docs/figures.md

version() { grep -A1 "^name = \"$1\"" Cargo.lock | sed -n 's/version = "\(.*\)"/\1/p' | tail -n 1; }

cargo build --release --locked -p evy-peers --features run
cargo build --release --locked --example million
{
    printf '# Figures of one run\n\n'
    printf 'Written by `benches/run.sh`, on %s.\n\n' "$(date +%Y-%m-%d)"
    printf -- '- machine: %s, %s processors\n' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)"
    printf -- '- system: Linux %s; %s\n' "$(uname -r)" "$(rustc --version)"
    printf -- '- peers:'
    for crate in corosensei may tokio smol hyper; do
        printf ' %s %s' "$crate" "$(version "$crate")"
    done
    printf '\n\n## Green threads, tasks, OS threads\n\n'
    target/release/evy-peers
    printf '\n## Parked green threads\n\n```text\n'
    target/release/examples/million
    printf '\n'
    target/release/examples/million 1000000
    printf '```\n'
    for workload in echo http; do
        printf '\n## Servers, %s\n\n' "$workload"
        if [ "$short" = --short ]; then
            target/release/evy-peers "$workload" 5 0.3
        else
            target/release/evy-peers "$workload"
        fi
    done
} >"$out"
[ "$short" = --short ] || cargo bench --locked -p evy-benches --features run
echo "written to $out"
