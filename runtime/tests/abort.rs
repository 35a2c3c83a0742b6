//! `panic = "abort"`: nothing can be thrown, and everything goes on. No test binary is built that
//! way, so this builds a program of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn without_unwinding_kills_and_timeouts_leave_alone_what_cannot_fail() {
    if std::env::var_os("EVY_UNDER_QEMU").is_some() {
        return;
    }
    let runtime = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("abort");
    fs::create_dir_all(&folder).unwrap();
    let manifest = format!(
        r#"
        [package]
        name = "abort"
        edition = "2024"
        [[bin]]
        name = "abort"
        path = {:?}
        [dependencies]
        evy-runtime.path = {runtime:?}
        [profile.dev]
        panic = "abort"
        [workspace]
        "#,
        runtime.join("tests/abort/program.rs"),
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::copy(runtime.join("../Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--target-dir", "target"])
        .current_dir(&folder)
        .status();
    assert!(built.unwrap().success());

    let ended = Command::new(folder.join("target/debug/abort")).status();
    assert!(ended.unwrap().success());
}
