//! Passes the switch backend on to benches, examples and tests, as a cfg. `evy-runtime` chooses it.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Cargo sets this because of the `links` key of evy-runtime. The build script of evy-runtime
    // runs first.
    match env::var("DEP_EVY_CONTEXT_BACKEND") {
        Ok(backend) => println!("cargo::rustc-cfg=evy_context=\"{backend}\""),
        Err(_) => println!("cargo::error=evy-runtime has chosen no switch backend for this target"),
    }
}
