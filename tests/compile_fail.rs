//! What must not compile: borrows that a green thread would outlive, and things of one OS thread that
//! would get to another.
//!
//! The messages are compared, so that a program cannot be refused for another reason. A new compiler
//! may word them anew; then look at what has changed, and accept it:
//!
//! ```text
//! TRYBUILD=overwrite cargo test --test compile_fail
//! ```

#![cfg(all(feature = "net", feature = "pool"))]

#[test]
fn what_is_unsound_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/compile_fail/crosses.rs");
    cases.compile_fail("tests/compile_fail/not_*.rs");
}
