#!/usr/bin/env bash
# Runs the tests of unchanged libraries on patched green threads, with the servers that they talk to.
#
# Usage: ci/patch.sh [--short] [NAME of a test ...]
#
# With --short, it installs `redis-server` only, and leaves out the libraries that need C libraries,
# databases or a long time to build. Servers are started by the tests, each on a port of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(redis-server)
features=()
if [ "${1:-}" = --short ]; then
    shift
else
    packages+=(postgresql mariadb-server memcached openssl pkg-config libcurl4-openssl-dev libssl-dev
        libssh2-1-dev)
    features=(--features all)
fi

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    if ! dpkg -s "${packages[@]}" >/dev/null 2>&1; then
        apt-get update
        # The tests start their own servers, so those of the packages are not started.
        DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y "${packages[@]}"
    fi
    # A test whose server is missing fails.
    export EVY_REQUIRE_SERVERS=1
fi

# The package is a workspace of its own, with the same target folder.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
cargo test --locked --manifest-path patch/crates-tests/Cargo.toml "${features[@]}" -- "$@"
