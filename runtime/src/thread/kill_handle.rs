//! `KillHandle`: kills a green thread without owning its result.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Weak;

use super::interrupt;
use super::packet::Packet;
use crate::green::StaysOnItsOsThread;

/// Kills one green thread, but cannot join it. Returned by
/// [`JoinHandle::kill_handle`](super::JoinHandle::kill_handle).
///
/// It keeps neither the green thread nor its result alive.
#[derive(Clone)]
pub struct KillHandle {
    owner: PhantomData<*const StaysOnItsOsThread>,
    packet: Weak<dyn Killable>,
}

/// A packet with a result of any type.
pub(super) trait Killable {
    fn kill(&self);
}

impl<T> Killable for Packet<T> {
    fn kill(&self) {
        if let Some(green) = self.green.get() {
            interrupt::kill(green, None);
        }
    }
}

impl KillHandle {
    pub(super) fn new(packet: Weak<dyn Killable>) -> Self {
        Self {
            owner: PhantomData,
            packet,
        }
    }

    /// Kills the green thread, like [`JoinHandle::kill`](super::JoinHandle::kill). Does nothing if
    /// it has ended.
    ///
    /// # Panics
    ///
    /// A green thread that kills itself unwinds from here.
    pub fn kill(&self) {
        if let Some(packet) = self.packet.upgrade() {
            packet.kill();
        }
    }
}

impl fmt::Debug for KillHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KillHandle").finish_non_exhaustive()
    }
}
