//! Which scheduler an identity belongs to.
//!
//! It is remembered for the newest of many ids. The answer for an older id may be wrong.

use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;

const COUNT: usize = 1 << 16;

static HOMES: [AtomicU16; COUNT] = [const { AtomicU16::new(0) }; COUNT];

fn home(id: i32) -> &'static AtomicU16 {
    &HOMES[id as usize % COUNT]
}

/// Returns a number that is another one for each scheduler, but for one chance in many.
fn tag(scheduler: *const ()) -> u16 {
    (scheduler
        .addr()
        .wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as usize)
        >> (usize::BITS - 16)) as u16
}

pub(super) fn remember(id: i32, scheduler: *const ()) {
    home(id).store(tag(scheduler), Relaxed);
}

/// Whether the identity with this id probably belongs to `scheduler`.
pub(crate) fn is_home(id: i32, scheduler: *const ()) -> bool {
    home(id).load(Relaxed) == tag(scheduler)
}
