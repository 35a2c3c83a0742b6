#!/usr/bin/env bash
# Tries the tables of http/tests/attacks on evy's server and client over TCP, and where they are
# installed on hyper, nginx and curl. Prints what deviates from the RFCs. docs/HTTP_DEVIATIONS.md
# argues the deviations of evy.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}/http_attacks")
CARGO_TARGET_DIR=$target cargo run --release --quiet --manifest-path ci/http_attacks/Cargo.toml
