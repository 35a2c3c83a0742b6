//! The states of a green thread.
//!
//! | from    | to      | by                                                            |
//! | ------- | ------- | ------------------------------------------------------------- |
//! | New     | Ready   | spawn; a delayed start that is due                            |
//! | Ready   | Parked  | park, by the one that runs                                    |
//! | Parked  | Ready   | unpark, its timer, a kill: the first of them, the rest is void |
//! | Ready   | Done    | its closure is finished                                       |
//! | Done    | New     | a spawn that takes it up again, as another one                |
//!
//! The one that runs is `Ready` too: which one that is, the scheduler knows. So a switch and a yield
//! change no state. `Ready` says what has ended the last wait, for whoever has waited to read.
//!
//! A wake-up of anything but a `Parked` green thread changes nothing, but that what was waited for
//! wins over a deadline that was first; so each wait is ended once and no green thread is queued
//! twice.

use super::Wake;

/// See the table above. A green thread that was never run is `Ready` like any other once queued:
/// its context starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    New,
    Ready(Wake),
    Parked,
    Done,
}
