//! Tests of TLS in programs with `panic = "abort"`, in which nothing can unwind.
//! `docs/PANIC_ABORT.md` lists what they show. They build a program of their own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use evy_test_support::{Program, is_emulated};

use crate::support::{CA, LOCALHOST};

/// Builds the program once for all tests.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let tls = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = tls.join("..");
        let program = Program {
            name: "tls-abort",
            source: tls.join("tests/tls/abort_program.rs"),
            dependencies: format!(
                "evy = {{ path = {root:?}, default-features = false, features = [\"tls\"] }}"
            ),
            profile: "panic = \"abort\"",
        };
        program.build(&root, Path::new(env!("CARGO_TARGET_TMPDIR")))
    })
}

fn succeeds(case: &str) {
    if is_emulated() {
        return;
    }
    let output = Command::new(program())
        .arg(case)
        .env("CHAIN", &LOCALHOST.chain)
        .env("KEY", &LOCALHOST.key)
        .env("CA", CA.pem())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn without_unwinding_a_handshake_that_takes_too_long_fails() {
    succeeds("handshake");
}

#[test]
fn without_unwinding_a_timeout_around_tls_makes_it_fail_and_leaves_the_stream_usable() {
    succeeds("timeout");
}

#[test]
fn without_unwinding_a_kill_makes_tls_fail() {
    succeeds("kill");
}
