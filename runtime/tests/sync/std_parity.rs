//! `evy_runtime::sync` can be used like `std::sync`. One program uses every item, trait and
//! coercion. It is compiled with evy and with std, and the two outputs are compared.
//!
//! The program does not use items that std has gained since the minimum Rust version of this crate.

#![expect(clippy::duplicate_mod, reason = "once with evy and once with std")]

#[path = "std_parity/on_evy.rs"]
mod on_evy;
#[path = "std_parity/on_std.rs"]
mod on_std;

use evy_test_support::within;

#[test]
fn the_same_program_has_the_same_output_with_evy_and_with_std() {
    within(|| assert_eq!(on_evy::uses::use_locks(), on_std::uses::use_locks()));
    within(|| assert_eq!(on_evy::uses::use_signals(), on_std::uses::use_signals()));
    within(|| assert_eq!(on_evy::uses::use_cells(), on_std::uses::use_cells()));
    within(|| assert_eq!(on_evy::uses::use_channels(), on_std::uses::use_channels()));
}
