//! Chooses the switch backend once, and tells everybody: as a cfg in here, as metadata to the
//! crates that depend on this one.

use std::env;

/// Targets with assembly of our own. Every other unix runs on corosensei.
const NATIVE: [&str; 3] = ["x86_64", "aarch64", "riscv64"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");

    if env::var_os("CARGO_CFG_UNIX").is_none() {
        println!(
            "cargo::error=evy needs a unix target: its stacks, signals and sockets are unix's"
        );
        return;
    }

    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let bits = env::var("CARGO_CFG_TARGET_POINTER_WIDTH").unwrap_or_default();
    // x32 and the ILP32 aarch64 have the architecture's name and other pointers.
    let native = NATIVE.contains(&arch.as_str()) && bits == "64";
    // A feature unifies over the whole dependency graph; the cfg is for who owns the final build.
    let portable = env::var_os("CARGO_FEATURE_PORTABLE").is_some()
        || env::var_os("CARGO_CFG_EVY_PORTABLE").is_some();

    let backend = if native && !portable {
        "native"
    } else {
        "corosensei"
    };
    println!("cargo::rustc-cfg=evy_context=\"{backend}\"");
    println!("cargo::metadata=BACKEND={backend}");
}
