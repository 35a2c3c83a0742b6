#!/usr/bin/env bash
# Measures how long a client of an HTTP server waits while 5000 others are slow: with their heads,
# with their bodies, in reading their responses, and a third of each. The slow ones connect again
# when the server closes their connections, so the run includes their timeouts, which pass together.
#
# Usage: ci/slow_clients.sh [KIND...]      (KIND: heads, bodies, reads, mixed)
#
# It fails if a request takes longer than EVY_SLOW_LIMIT_MS, which is 100 unless it is set. On a busy
# machine, other programs cause longer waits than the server; `chrt -r 5 ci/slow_clients.sh` runs it
# before them.
set -euo pipefail
cd "$(dirname "$0")/.."

kinds=("$@")
[ ${#kinds[@]} -gt 0 ] || kinds=(heads bodies reads mixed)
ulimit -n "$(ulimit -Hn)"

cargo build --release -p evy-test-support --features http-programs --bins --locked
programs=${CARGO_TARGET_DIR:-target}/release
output=$(mktemp)
server=
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true; rm -f "$output"' EXIT

status=0
for kind in "${kinds[@]}"; do
    "$programs/http-server" >"$output" 2>&1 &
    server=$!
    for _ in $(seq 100); do grep -q ready "$output" && break || sleep 0.1; done
    port=$(sed -n 's/^http //p' "$output")
    # A body and a response may stall for 30 seconds.
    "$programs/slow-clients" "$port" "$kind" 5000 40 "${EVY_SLOW_LIMIT_MS:-100}" || status=1
    kill -KILL "$server"
    wait "$server" 2>/dev/null || true
done
[ "$status" = 0 ] || echo "FAILED: a client has waited for too long, or connections are missing" >&2
exit "$status"
