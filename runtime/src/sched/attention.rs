//! `Attention`: what makes a turn leave the fast path.
//!
//! A turn begins with maintenance every [`EVENT_INTERVAL`] turns, and always while any attention
//! bit is set. Both questions are one test, of the turn's number against a mask, so a bit costs
//! nothing while it is clear.
//!
//! The ticker, on another OS thread, can request maintenance too ([`super::ticker`]). It clears the
//! mask directly. The owner restores the mask from the bits once the request is done.

use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;

use super::ticker::TickTarget;

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
    /// No ticker watches the time, so each turn reads the clock itself (`pace`).
    Clock = 4,
    /// The run queue has holes, which must be skipped.
    Holes = 8,
    /// This process is a child that must not switch (`fork`).
    Forked = 16,
    /// A green thread with a pthread identity runs (`identity`).
    Identity = 32,
}

/// The current reasons for maintenance at every turn, and the turns at which maintenance is due.
#[derive(Debug)]
pub(super) struct Attention {
    bits: Cell<u8>,
    /// Contains the mask. A turn begins with maintenance if its number has none of the mask's bits.
    pub(super) ticks: TickTarget,
}

impl Attention {
    pub(super) const fn new() -> Self {
        Self {
            bits: Cell::new(0),
            ticks: TickTarget::new(EVENT_INTERVAL - 1),
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
        self.ticks.mask.store(Self::mask(bits), Relaxed);
    }

    const fn mask(bits: u8) -> usize {
        if bits == 0 { EVENT_INTERVAL - 1 } else { 0 }
    }

    #[inline]
    pub(super) fn is_set(&self, bit: AttentionBit) -> bool {
        self.bits.get() & bit as u8 != 0
    }

    /// Whether the turn of this number begins with maintenance.
    #[inline(always)]
    pub(super) fn needs_maintenance(&self, turn: usize) -> bool {
        turn & self.ticks.mask.load(Relaxed) == 0
    }

    /// Whether maintenance in this turn would have nothing to do, as if no green thread with a pthread
    /// identity ran.
    #[inline]
    pub(super) fn is_quiet(&self, turn: usize) -> bool {
        self.bits.get() & !(AttentionBit::Identity as u8) == 0
            && !turn.is_multiple_of(EVENT_INTERVAL)
            && !self.ticks.is_due.load(Relaxed)
    }

    /// Whether the maintenance of this turn polls for events, even without a tick. In a random
    /// order it always does, because a green thread that becomes ready must have its chance at
    /// every turn.
    pub(super) fn needs_poll(&self, turn: usize) -> bool {
        self.is_set(AttentionBit::RandomOrder) || turn.is_multiple_of(EVENT_INTERVAL)
    }

    /// Ends the request of the ticker, if there is one. A tick that arrives meanwhile may be lost;
    /// the next one follows soon.
    pub(super) fn end_tick(&self) {
        self.ticks.is_due.store(false, Relaxed);
        self.update(self.bits.get());
    }
}
