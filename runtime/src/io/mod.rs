//! Cooperative descriptors.

mod attempt;
mod drained;
mod green;
mod read_write;
mod readiness;
mod registration;
mod timeout;
pub(crate) mod wait_any;

pub use crate::reactor::Direction;
pub use green::Green;
pub use timeout::{Sharing, Timeout};

pub(crate) use readiness::{ReadinessWaiter, is_ready};
