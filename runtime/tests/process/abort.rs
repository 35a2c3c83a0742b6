//! Tests of programs with `panic = "abort"`: nothing can be thrown, so everything continues. No
//! test binary is built that way, so this test builds its own program.

use std::path::Path;
use std::process::Command;

use evy_test_support::{Program, is_emulated};

#[test]
fn without_unwinding_kills_and_timeouts_do_not_affect_infallible_waits() {
    if is_emulated() {
        return;
    }
    let runtime = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = Program {
        name: "abort",
        source: runtime.join("tests/process/abort_program.rs"),
        dependencies: format!("evy-runtime.path = {runtime:?}"),
        profile: "panic = \"abort\"",
    };
    let root = runtime.join("..");
    let executable = program.build(&root, Path::new(env!("CARGO_TARGET_TMPDIR")));
    assert!(Command::new(executable).status().unwrap().success());
}
