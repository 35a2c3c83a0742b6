//! Cooperative descriptors.

mod attempt;
mod green;

pub use crate::reactor::Direction;
pub use attempt::Sharing;
pub use green::Green;
