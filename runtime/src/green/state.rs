//! The states of a green thread, and what ended its last wait.
//!
//! | from    | to      | by                                                               |
//! | ------- | ------- | ---------------------------------------------------------------- |
//! | New     | Ready   | a spawn; the timer of a delayed start                            |
//! | Ready   | Parked  | `park`, called by the running green thread                       |
//! | Parked  | Ready   | the first of: an unpark, its timer, a kill; later ones do nothing |
//! | Ready   | Done    | the end of its closure                                           |
//! | Done    | New     | a spawn, which reuses the control block for another green thread |
//!
//! The running green thread is `Ready` too: the scheduler knows which one runs. A switch or a yield
//! therefore changes no state. `Ready` carries what ended the last wait, for the waiter to read.
//!
//! Waking a green thread that is not `Parked` changes nothing. One exception: an unpark replaces
//! a deadline that has not been read yet, because an event wins over a deadline. So each wait ends
//! once, and no green thread is queued twice.

/// The state of a green thread; see the table above.
///
/// A green thread that has never run is `Ready` like any other once it is queued: its context
/// starts its closure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    New,
    Ready(Wake),
    Parked,
    Done,
}

/// The cause of a wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The awaited event has happened, or another green thread unparked it.
    Unparked,
    /// The deadline has passed.
    TimedOut,
    /// A kill or an enclosing timeout ends the wait, whatever it was for.
    Interrupted,
    /// Nothing can ever end this wait. Only the root green thread is woken with this.
    Deadlocked,
}
