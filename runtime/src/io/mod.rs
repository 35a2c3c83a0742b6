//! Cooperative descriptors.

mod attempt;
mod green;

pub use crate::reactor::Direction;
pub use attempt::{Patience, Sharing};
pub use green::Green;
