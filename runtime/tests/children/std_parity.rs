//! `evy_runtime::process` can be used like `std::process`. One program uses every item, trait and
//! conversion. It is compiled with evy and with std, and the two outputs are compared.

#![expect(clippy::duplicate_mod, reason = "once with evy and once with std")]

#[path = "std_parity/on_evy.rs"]
mod on_evy;
#[path = "std_parity/on_std.rs"]
mod on_std;

use evy_test_support::{is_emulated, within};

#[test]
fn the_same_program_has_the_same_output_with_evy_and_with_std() {
    // The emulator does not report that a program could not be started.
    if is_emulated() {
        return;
    }
    within(|| assert_eq!(on_evy::uses::use_builder(), on_std::uses::use_builder()));
    within(|| assert_eq!(on_evy::uses::use_streams(), on_std::uses::use_streams()));
    within(|| assert_eq!(on_evy::uses::use_children(), on_std::uses::use_children()));
    within(|| {
        let on_evy = on_evy::uses::use_extensions();
        assert_eq!(on_evy, on_std::uses::use_extensions());
    });
}
