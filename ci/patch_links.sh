#!/usr/bin/env bash
# Builds one small program in each way in which hooks could fail to be linked, and runs it. The program
# checks that sleeps, locks and sockets of the unchanged std wait in parallel on one OS thread.
set -euo pipefail
cd "$(dirname "$0")/.."

repository=$PWD
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
crate=$target/patch-links
rm -rf "$crate"
mkdir -p "$crate/src" "$crate/examples" "$crate/tests" "$crate/middle/src" "$crate/jemalloc/src"
export CARGO_TARGET_DIR=$target/patch-links-target CARGO_INCREMENTAL=0

cat >"$crate/Cargo.toml" <<END
[package]
name = "links"
version = "0.0.0"
edition = "2024"

[workspace]
members = ["middle", "jemalloc"]

[dependencies]
evy = { path = "$repository", default-features = false, features = ["patch"] }

# A program that mentions only a crate that uses evy.
[[bin]]
name = "through_another"
path = "src/through_another.rs"

[[bin]]
name = "links"
path = "src/main.rs"

[dependencies.middle]
path = "middle"

[profile.dev]
debug = 0
[profile.fat]
inherits = "release"
lto = "fat"
[profile.thin]
inherits = "release"
lto = "thin"
[profile.abort]
inherits = "release"
panic = "abort"
strip = true
lto = "fat"
END
cp Cargo.lock "$crate"
cat >"$crate/middle/Cargo.toml" <<END
[package]
name = "middle"
version = "0.0.0"
edition = "2024"

[dependencies]
evy = { path = "$repository", default-features = false, features = ["patch"] }
END
cat >"$crate/jemalloc/Cargo.toml" <<END
[package]
name = "jemalloc"
version = "0.0.0"
edition = "2024"

[dependencies]
evy = { path = "$repository", default-features = false, features = ["patch"] }
middle = { path = "../middle" }
tikv-jemallocator = "0.6"
END

cat >"$crate/middle/src/lib.rs" <<'END'
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::sleep;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_millis(200);

fn at_once(what: &str, f: impl Fn() + Clone + 'static) {
    let start = Instant::now();
    let all: Vec<_> = (0..20)
        .map(|_| {
            let f = f.clone();
            evy::spawn(move || f())
        })
        .collect();
    for green in all {
        green.join().unwrap();
    }
    // One after the other, they would take 4 s.
    assert!(start.elapsed() < LONG * 10, "{what}: {:?}", start.elapsed());
}

pub fn check() {
    evy::patch::monkey_patch().unwrap();
    at_once("sleep", || sleep(LONG));
    at_once("mutex", || {
        let lock = Arc::new(Mutex::new(0));
        let held = Arc::clone(&lock);
        let holder = evy::spawn(move || {
            let mut value = held.lock().unwrap();
            sleep(LONG);
            *value += 1;
        });
        sleep(LONG / 10);
        assert_eq!(*lock.lock().unwrap(), 1);
        holder.join().unwrap();
    });
    at_once("socket", || {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let writer = evy::spawn(move || {
            sleep(LONG);
            a.write_all(b"x").unwrap();
        });
        let mut byte = [0];
        b.read_exact(&mut byte).unwrap();
        writer.join().unwrap();
    });
    at_once("channel and join", || {
        let (sender, receiver) = mpsc::sync_channel(0);
        let thread = std::thread::spawn(move || {
            sleep(LONG);
            sender.send(1).unwrap();
        });
        assert_eq!(receiver.recv().unwrap(), 1);
        thread.join().unwrap();
    });
    println!("ok");
}

/// Two schedulers allocate and free at the same time.
pub fn allocate() {
    let threads: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn(|| {
                let all: Vec<_> = (0..50)
                    .map(|n| {
                        evy::spawn(move || {
                            let mut kept = Vec::new();
                            for size in 0..500_usize {
                                kept.push(vec![1_u8; (size * 97 + n) % 9000]);
                                if size % 10 == 0 {
                                    evy::yield_now();
                                    kept.truncate(5);
                                }
                            }
                        })
                    })
                    .collect();
                for green in all {
                    green.join().unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
END
echo 'fn main() { evy::patch::monkey_patch().unwrap(); middle::check(); }' >"$crate/src/main.rs"
echo 'fn main() { middle::check(); }' >"$crate/src/through_another.rs"
echo 'fn main() { middle::check(); }' >"$crate/examples/example.rs"
echo '#[test] fn patched() { middle::check(); }' >"$crate/tests/test.rs"
cat >"$crate/jemalloc/src/main.rs" <<'END'
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    middle::check();
    middle::allocate();
}
END

step() { printf '\n=== %s\n' "$*"; }
cd "$crate"
step "debug"
timeout 600 cargo run -q --bin links
step "a program that does not mention the crate"
timeout 600 cargo run -q --bin through_another
step "an example"
timeout 600 cargo run -q --example example
step "cargo test"
timeout 600 cargo test -q --test test
for profile in release fat thin abort; do
    step "profile $profile"
    timeout 900 cargo run -q --profile "$profile" --bin links
    timeout 900 cargo run -q --profile "$profile" --bin through_another
done
step "jemalloc"
timeout 900 cargo build -q --release -p jemalloc
# What goes wrong between two OS threads goes wrong rarely.
for _ in $(seq 20); do timeout 60 "$CARGO_TARGET_DIR/release/jemalloc"; done
step "all links work"
