//! Tests of programs that depend on the crate `evy` alone.

#[cfg(feature = "net")]
mod drop_in;
mod macros;
#[cfg(feature = "net")]
mod processes;
#[cfg(all(feature = "http", feature = "pool"))]
mod readme_patterns;
mod std_types;
