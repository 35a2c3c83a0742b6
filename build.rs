//! Makes the switch backend that `evy-runtime` has chosen known to benches, examples and tests.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Set by the `links` key of evy-runtime, whose build script runs first.
    match env::var("DEP_EVY_CONTEXT_BACKEND") {
        Ok(backend) => println!("cargo::rustc-cfg=evy_context=\"{backend}\""),
        Err(_) => println!("cargo::error=evy-runtime has chosen no switch backend for this target"),
    }
}
