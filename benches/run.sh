#!/usr/bin/env bash
# Measures everything in one run and writes tables and plots, with the machine, the versions and the
# date, into docs/BENCHMARKS.md, below its last line that is not a figure, and docs/plots.
# Criterion's plots: target/criterion. Takes about half an hour; --short, some minutes, leaves out
# criterion and the long rounds.
set -euo pipefail
cd "$(dirname "$0")/.."
short=${1:-}
page=docs/BENCHMARKS.md
marker='<!-- What follows is written by benches/run.sh. -->'

version() { grep -A1 "^name = \"$1\"" Cargo.lock | sed -n 's/version = "\(.*\)"/\1/p' | tail -n 1; }

# Go is measured where it can be had.
if ! command -v go >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    { apt-get update && apt-get install -y --no-install-recommends golang-go; } >/dev/null 2>&1 || true
fi
rm -f target/go-peer
mkdir -p target
if command -v go >/dev/null; then
    go build -o target/go-peer benches/peers/go/main.go
else
    echo "*** no Go here, and none could be installed: the run goes without it" >&2
fi
cargo build --release --locked -p evy-peers --features run
cargo build --release --locked --example million

figures=$(mktemp)
trap 'rm -f "$figures"' EXIT
{
    printf '%s\n\n## Figures of one run\n\n' "$marker"
    printf 'Written on %s.\n\n' "$(date +%Y-%m-%d)"
    printf -- '- machine: %s, %s processors\n' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)"
    printf -- '- system: Linux %s; %s\n' "$(uname -r)" "$(rustc --version)"
    printf -- '- peers:'
    for crate in corosensei may tokio smol hyper; do
        printf ' %s %s,' "$crate" "$(version "$crate")"
    done
    printf ' %s\n' "$(go version 2>/dev/null || echo 'no Go')"
    printf '\n### Green threads, tasks, OS threads\n\n'
    target/release/evy-peers
    printf '\n![the same as bars](plots/tasks.svg)\n'
    printf '\n### Parked green threads\n\n```text\n'
    target/release/examples/million
    printf '\n'
    target/release/examples/million 1000000
    printf '```\n'
    for workload in echo http; do
        printf '\n### Servers: %s\n\n' "$workload"
        if [ "$short" = --short ]; then
            target/release/evy-peers "$workload" 5 0.3
        else
            target/release/evy-peers "$workload"
        fi
        printf '\n![the same as bars](plots/%s.svg)\n' "$workload"
    done
} >"$figures"
sed -i "\|^$marker\$|,\$d" "$page"
cat "$figures" >>"$page"
[ "$short" = --short ] || cargo bench --locked -p evy-benches --features run
echo "written to $page"
