//! `evy_runtime::sync` is used as `std::sync` is: one program that touches every item, trait and
//! coercion, compiled with either, and what both say is compared.
//!
//! What std has gained since the Rust version that this crate asks for is not in it.

#![expect(clippy::duplicate_mod, reason = "once on each base")]

#[path = "std_parity/on_evy.rs"]
mod on_evy;
#[path = "std_parity/on_std.rs"]
mod on_std;

use evy_test_support::within;

#[test]
fn both_say_the_same() {
    within(|| assert_eq!(on_evy::uses::locks(), on_std::uses::locks()));
    within(|| assert_eq!(on_evy::uses::signals(), on_std::uses::signals()));
    within(|| assert_eq!(on_evy::uses::cells(), on_std::uses::cells()));
    within(|| assert_eq!(on_evy::uses::channels(), on_std::uses::channels()));
}
