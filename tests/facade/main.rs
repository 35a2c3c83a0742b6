//! Tests of programs that depend on the crate `evy` alone.

#[cfg(feature = "net")]
mod drop_in;
#[cfg(all(feature = "http", not(any(feature = "tls", feature = "tls-aws-lc-rs"))))]
mod https;
mod macros;
#[cfg(feature = "net")]
mod processes;
#[cfg(all(feature = "http", feature = "pool"))]
mod readme_patterns;
mod std_types;
