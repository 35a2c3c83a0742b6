//! The states of a green thread.
//!
//! | from    | to      | by                                                            |
//! | ------- | ------- | ------------------------------------------------------------- |
//! | New     | Ready   | spawn; a delayed start that is due                            |
//! | Ready   | Running | whoever parks, yields or ends switches to it                  |
//! | Running | Ready   | yield; a killer that lets its victim go first                 |
//! | Running | Parked  | park                                                          |
//! | Parked  | Ready   | unpark, its timer, a kill: the first of them, the rest is void |
//! | Running | Done    | its closure is finished                                       |
//!
//! A wake-up of anything but a `Parked` green thread changes no state, so each wait is ended once and
//! no green thread is queued twice.

/// See the table above. A green thread that was never run is `Ready` like any other once queued:
/// its context starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    New,
    Ready,
    Running,
    Parked,
    Done,
}
