#!/usr/bin/env bash
# Measures everything in one run. Tables, with the machine, the versions and the date, replace
# everything below the marker line in docs/BENCHMARKS.md. Plots go to docs/plots, and criterion's
# plots to target/criterion.
#
# A run takes about half an hour. With --short it takes some minutes, because criterion and the long
# rounds are left out.
set -euo pipefail
cd "$(dirname "$0")/.."
short=${1:-}
page=docs/BENCHMARKS.md
marker='<!-- Everything below is written by benches/run.sh. -->'

version() { grep -A1 "^name = \"$1\"" Cargo.lock | sed -n 's/version = "\(.*\)"/\1/p' | tail -n 1; }

# Go is measured if it is installed or can be installed.
if ! command -v go >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    { apt-get update && apt-get install -y --no-install-recommends golang-go; } >/dev/null 2>&1 || true
fi
rm -f target/go-peer
mkdir -p target
if command -v go >/dev/null; then
    go build -o target/go-peer benches/peers/go/main.go
else
    echo "*** Go is not installed and could not be installed: this run does not measure it" >&2
fi
cargo build --release --locked -p evy-peers --features run
cargo build --release --locked --example million

figures=$(mktemp)
trap 'rm -f "$figures"' EXIT
{
    printf '%s\n\n## Results of one run\n\n' "$marker"
    printf 'Measured on %s.\n\n' "$(date +%Y-%m-%d)"
    printf -- '- machine: %s, %s processors\n' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)"
    printf -- '- system: Linux %s; %s\n' "$(uname -r)" "$(rustc --version)"
    printf -- '- peers:'
    for crate in corosensei may tokio smol hyper; do
        printf ' %s %s,' "$crate" "$(version "$crate")"
    done
    printf ' %s\n' "$(go version 2>/dev/null || echo 'Go not measured')"
    printf '\n### Green threads, tasks, OS threads\n\n'
    target/release/evy-peers
    printf '\n![The same results as a bar chart](plots/tasks.svg)\n'
    printf '\n### Parked green threads\n\n```text\n'
    target/release/examples/million
    printf '\n'
    target/release/examples/million 1000000
    printf '```\n'
    for workload in echo http pipelined; do
        printf '\n### Servers: %s\n\n' "$workload"
        if [ "$short" = --short ]; then
            target/release/evy-peers "$workload" 5 0.3
        else
            target/release/evy-peers "$workload"
        fi
        printf '\n![The same results as a bar chart](plots/%s.svg)\n' "$workload"
    done
    printf '\n### Idle connections\n\n'
    target/release/evy-peers idle
    printf '\n### A proxy\n\n'
    target/release/evy-peers proxy
} >"$figures"
sed -i "\|^$marker\$|,\$d" "$page"
cat "$figures" >>"$page"
[ "$short" = --short ] || cargo bench --locked -p evy-benches --features run
echo "results written to $page"
