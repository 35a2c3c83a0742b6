//! The green thread that calls a hook.

use evy_runtime::lowlevel::hooks::Caller;

use crate::{Categories, state};

/// Returns the running green thread if it may park in a function of `category`.
#[inline(always)]
pub(super) fn current(category: Categories) -> Option<Caller> {
    if state::applies(category) {
        Caller::current()
    } else {
        None
    }
}
