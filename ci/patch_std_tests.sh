#!/usr/bin/env bash
# Runs std's own tests of locks, channels, threads and TCP on green threads, against the unchanged std,
# patched. The tests are taken from the component rust-src. Each test runs on a green thread, and so
# does each thread that a test spawns. Arguments are passed to the test binary.
set -euo pipefail
cd "$(dirname "$0")/.."

rustup component add rust-src 2>/dev/null ||
    { echo "skipped: rust-src cannot be installed"; exit 0; }
std=$(rustc --print sysroot)/lib/rustlib/src/rust/library/std
[ -d "$std/tests/sync" ] || { echo "skipped: rust-src has no tests here"; exit 0; }

crate=${CARGO_TARGET_DIR:-target}/std-tests
rm -rf "$crate"
mkdir -p "$crate/src"
cat >"$crate/Cargo.toml" <<END
[package]
name = "std-tests"
version = "0.0.0"
edition = "2024"

[dependencies]
evy = { path = "$PWD", default-features = false, features = ["patch"] }

libc = "0.2"

[lib]
doctest = false

[workspace]
END
cp Cargo.lock "$crate"

# A test that does not run on a green thread yet starts itself on one.
adapt() {
    sed -E -z \
        -e 's/(#\[test\](\s*#\[[^]]*\]|\s*\/\/[^\n]*)*\s*fn )(\w+|\$\{concat\([^)]*\)\})\(\) \{/\1\3() {\n    if crate::green::moves(\3) {\n        return;\n    }/g' |
        sed -E \
            -e 's/\b(std::)?thread::spawn\(/crate::green::spawn(/g' \
            -e 's/\bsuper::sleep\(/std::thread::sleep(/g' \
            -e 's/^use rand::Rng;//' \
            -e 's/\bcrate::net::test\b/crate::net_test/g' \
            -e 's/\bcrate::(any|io|mem|net|sync|time|fmt|thread|panic|result|ffi|iter|env|os)\b/std::\1/g' \
            -e 's/^use crate::\{fmt, thread\};/use std::{fmt, thread};/' \
            -e 's/^use super::nonpoison_and_poison_unwrap_test;/use crate::nonpoison_and_poison_unwrap_test;/' \
            -e 's/super::result_unwrap/crate::result_unwrap/'
}

for file in "$std"/tests/sync/*.rs; do
    adapt <"$file" >"$crate/src/$(basename "$file")"
done
adapt <"$std/src/thread/tests.rs" >"$crate/src/thread_tests.rs"
adapt <"$std/src/net/tcp/tests.rs" >"$crate/src/tcp_tests.rs"
adapt <"$std/src/net/test.rs" >"$crate/src/net_test.rs"
sed -i -e 's/^#\[path = .*//' "$crate/src/lib.rs"

# Left out: what std has for itself, and what asks for the kernel's id of a thread.
sed -i -E -z 's/#\[test\]\s*fn test_thread_os_id_not_equal.*\n\}\n\n#\[test\]\nfn test_scoped_threads_drop/#[test]\nfn test_scoped_threads_drop/' \
    "$crate/src/thread_tests.rs"

cat >>"$crate/src/lib.rs" <<'END'

mod thread_tests;
mod tcp_tests;
mod net_test;
mod green;
END
sed -i -e '1i #![allow(warnings)]\n#![cfg(test)]\n#![feature(read_buf, core_io_borrowed_buf, tcp_linger, never_type, sync_poison_mod, io_error_uncategorized)]' "$crate/src/lib.rs"

cat >"$crate/src/common.rs" <<'END'
/// A generator like that of std's tests, as far as they use it.
pub(crate) struct Rng(u64);
pub(crate) fn test_rng() -> Rng {
    use std::hash::{BuildHasher, Hasher};
    Rng(std::hash::RandomState::new().build_hasher().finish() | 1)
}
impl Rng {
    pub(crate) fn random_bool(&mut self, probability: f64) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 as f64) < probability * u64::MAX as f64
    }
}
END

cat >"$crate/src/green.rs" <<'END'
use std::any::Any;
use std::cell::Cell;

std::thread_local!(static IS_GREEN: Cell<bool> = const { Cell::new(false) });

/// Runs `test` on a green thread, unless the caller is that green thread.
pub(crate) fn moves(test: fn()) -> bool {
    if IS_GREEN.get() {
        return false;
    }
    evy::patch::monkey_patch().unwrap();
    if let Err(payload) = spawn(test).join() {
        std::panic::resume_unwind(payload);
    }
    // So that those that the test has not joined end too, as the threads of std do.
    evy::test_support_drain();
    true
}

pub(crate) struct JoinHandle<T>(evy::thread::JoinHandle<T>);

pub(crate) fn spawn<T: 'static>(f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    JoinHandle(evy::spawn(move || {
        IS_GREEN.set(true);
        f()
    }))
}

impl<T: 'static> JoinHandle<T> {
    pub(crate) fn join(self) -> Result<T, Box<dyn Any + Send>> {
        self.0.join().map_err(Into::into)
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}
END
sed -i -e '/evy::test_support_drain/d' -e '/So that those that the test has not joined/d' "$crate/src/green.rs"

# Left out: loops that never wait, and poll a channel or a cell, or send without a bound, until another
# thread has done something. A green thread that never waits keeps its OS thread.
skipped=(
    --skip mpmc::port_gone_concurrent
    --skip mpsc::port_gone_concurrent
    --skip mpmc::test_recv_try_iter
    --skip mpsc::test_recv_try_iter
    --skip once_lock::sync_once_cell_does_not_leak_partially_constructed_boxes
)

export RUSTC_BOOTSTRAP=1
cd "$crate"
timeout 600 cargo test --target-dir ../std-tests-target -- "${skipped[@]}" "$@"
