//! Cooperative descriptors.

mod attempt;
mod green;
mod watch;

pub use crate::reactor::Direction;
pub use attempt::{Patience, Sharing};
pub use green::Green;

pub(crate) use watch::{Watch, is_ready};
