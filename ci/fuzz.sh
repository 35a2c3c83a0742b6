#!/usr/bin/env bash
# Runs each fuzz target of HTTP for a number of seconds (60 unless given).
#
# Usage: ci/fuzz.sh [SECONDS [TARGET ...]]
#
# It needs the nightly compiler and installs cargo-fuzz. What the targets learn is kept in
# fuzz/corpus, reduced to what covers the same code. An input that fails is in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || targets=(request_head chunked_body pipeline response)

tools=$(realpath -m "${CARGO_TARGET_DIR:-target}/tools")
export PATH="$PATH:$tools/bin"
command -v cargo-fuzz >/dev/null ||
    CARGO_TARGET_DIR="$tools/build" cargo +nightly install cargo-fuzz --locked --root "$tools"

# evy-http has no unsafe code, and AddressSanitizer does not know green stacks.
run=(cargo +nightly fuzz)
options=(--sanitizer none)
for target in "${targets[@]}"; do
    printf '\n=== %s\n' "$target"
    mkdir -p "fuzz/corpus/$target"
    "${run[@]}" run "${options[@]}" "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=10 -dict=fuzz/http.dict \
        -print_final_stats=1 2>&1 | grep -Ev '^#[0-9]+\s+(NEW|REDUCE|RELOAD)'
    "${run[@]}" cmin "${options[@]}" "$target" "fuzz/corpus/$target" -- -max_len=4096 >/dev/null 2>&1
    echo "corpus: $(find "fuzz/corpus/$target" -type f | wc -l) inputs"
done
