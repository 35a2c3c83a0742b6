//! Leaves the crate empty on targets where green threads have no identities. `evy-runtime` knows.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(evy_hooks)");
    // Cargo sets this because of the `links` key of evy-runtime.
    if env::var_os("DEP_EVY_CONTEXT_IDENTITY").is_some() {
        println!("cargo::rustc-cfg=evy_hooks");
    }
}
