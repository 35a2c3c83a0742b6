//! `Attention`: what makes a turn leave the fast path.
//!
//! A turn begins with maintenance every [`EVENT_INTERVAL`] turns, and always while any attention
//! bit is set. Both questions are one test, of the turn's number against a mask, so a bit costs
//! nothing while it is clear.

use std::cell::Cell;

/// The number of turns between two polls for events, timers and other OS threads: a power of two.
pub(super) const EVENT_INTERVAL: usize = 64;
const _: () = assert!(EVENT_INTERVAL.is_power_of_two());

/// A reason for maintenance at every turn.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum AttentionBit {
    /// A watchdog must know which green thread runs.
    Monitor = 1,
    /// A test chooses the next green thread at random.
    RandomOrder = 2,
    /// This process is a child that must not switch (`fork`).
    Forked = 8,
}

#[derive(Debug)]
pub(super) struct Attention {
    bits: Cell<u8>,
    /// A turn begins with maintenance if its number has none of these bits. Follows from `bits`.
    mask: Cell<usize>,
}

impl Attention {
    pub(super) const fn new() -> Self {
        Self {
            bits: Cell::new(0),
            mask: Cell::new(EVENT_INTERVAL - 1),
        }
    }

    pub(super) fn set(&self, bit: AttentionBit) {
        self.update(self.bits.get() | bit as u8);
    }

    pub(super) fn clear(&self, bit: AttentionBit) {
        self.update(self.bits.get() & !(bit as u8));
    }

    fn update(&self, bits: u8) {
        self.bits.set(bits);
        self.mask
            .set(if bits == 0 { EVENT_INTERVAL - 1 } else { 0 });
    }

    pub(super) fn is_set(&self, bit: AttentionBit) -> bool {
        self.bits.get() & bit as u8 != 0
    }

    /// Whether the turn of this number begins with maintenance.
    #[inline(always)]
    pub(super) fn needs_maintenance(&self, turn: usize) -> bool {
        turn & self.mask.get() == 0
    }

    /// Whether the maintenance of this turn polls for events. In a random order it always does,
    /// because a green thread that becomes ready must have its chance at every turn.
    pub(super) fn needs_poll(&self, turn: usize) -> bool {
        self.is_set(AttentionBit::RandomOrder) || turn.is_multiple_of(EVENT_INTERVAL)
    }
}
