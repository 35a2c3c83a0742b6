//! Chooses the backend of the context switch. Nothing else chooses it: it is passed on as a cfg to
//! this crate, and as metadata to the build scripts of crates that depend on it.

use std::env;

/// The architectures that evy has its own assembly for. Other Unix targets use corosensei.
const NATIVE: [&str; 3] = ["x86_64", "aarch64", "riscv64"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");

    if env::var_os("CARGO_CFG_UNIX").is_none() {
        println!(
            "cargo::error=evy needs a Unix target: it uses the stacks, signals and sockets of Unix"
        );
        return;
    }

    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let bits = env::var("CARGO_CFG_TARGET_POINTER_WIDTH").unwrap_or_default();
    // x32 and ILP32 aarch64 targets have the same architecture name, but smaller pointers.
    let native = NATIVE.contains(&arch.as_str()) && bits == "64";
    // A feature is unified over the whole dependency graph, so any dependency can turn it on. The
    // cfg is for the author of the final build.
    let portable = env::var_os("CARGO_FEATURE_PORTABLE").is_some()
        || env::var_os("CARGO_CFG_EVY_PORTABLE").is_some();

    let backend = if native && !portable {
        "native"
    } else {
        "corosensei"
    };
    println!("cargo::rustc-cfg=evy_context=\"{backend}\"");
    println!("cargo::metadata=BACKEND={backend}");

    println!("cargo::rustc-check-cfg=cfg(evy_identity)");
    if backend == "native" && has_known_libc(&arch) {
        println!("cargo::rustc-cfg=evy_identity");
        println!("cargo::metadata=IDENTITY=1");
    }
}

/// Whether green threads can have pthread identities of their own (`pthread_identity`).
fn has_known_libc(arch: &str) -> bool {
    let is = |key, value: &str| env::var(key).is_ok_and(|actual| actual == value);
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && ["x86_64", "aarch64"].contains(&arch)
        && !features.split(',').any(|feature| feature == "crt-static")
        // A sanitizer keeps state for each thread of the kernel.
        && env::var_os("CARGO_CFG_SANITIZE").is_none()
}
