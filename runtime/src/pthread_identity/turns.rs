//! `Turns`: which identities run now, for any OS thread to ask.
//!
//! A lock that its owner still holds while it is parked is none of the allocator, which parks nowhere
//! else than for such a lock. So a green thread may park for it too.
//!
//! The turns are counted for the newest of many ids. The answer for an older id may be wrong.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, fence};

const COUNT: usize = 1 << 16;

static TURNS: [AtomicU32; COUNT] = [const { AtomicU32::new(0) }; COUNT];

/// The turns of one identity. The number is odd while it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turns(&'static AtomicU32);

impl Turns {
    pub(super) fn of(id: i32) -> Self {
        Self(&TURNS[id as usize % COUNT])
    }

    /// Called by the OS thread of the identity.
    #[inline]
    pub(super) fn begin_one(self) {
        self.0.store(self.0.load(Relaxed) | 1, Relaxed);
        // What follows in the turn is not seen without it.
        fence(Release);
    }

    /// Called by the OS thread of the identity.
    #[inline]
    pub(super) fn end_one(self) {
        let ended = (self.0.load(Relaxed) | 1).wrapping_add(1);
        // With it, everything that precedes is seen.
        self.0.store(ended, Release);
    }
}

/// Whether `holds` is true while the identity with this id does not run.
pub(crate) fn is_parked_while(id: i32, holds: impl FnOnce() -> bool) -> bool {
    let turns = Turns::of(id).0;
    let before = turns.load(Acquire);
    let is_so = before.is_multiple_of(2) && holds();
    fence(Acquire);
    is_so && turns.load(Relaxed) == before
}

#[cfg(test)]
mod tests {
    use super::{Turns, is_parked_while};

    #[test]
    fn an_identity_is_parked_between_its_turns_only() {
        const ID: i32 = 0x2fff_0001;
        let turns = Turns::of(ID);
        assert!(is_parked_while(ID, || true));
        turns.begin_one();
        turns.begin_one();
        assert!(!is_parked_while(ID, || true));
        turns.end_one();
        assert!(is_parked_while(ID, || true) && !is_parked_while(ID, || false));
        let with_a_turn_between = || {
            turns.begin_one();
            turns.end_one();
            true
        };
        assert!(!is_parked_while(ID, with_a_turn_between));
    }
}
