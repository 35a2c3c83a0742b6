//! Cooperative descriptors.

mod green;
mod readiness;
mod registration;

pub use crate::reactor::Direction;
pub use green::Green;
pub use registration::{Sharing, Timeout};

pub(crate) use readiness::{ReadinessWaiter, is_ready};
