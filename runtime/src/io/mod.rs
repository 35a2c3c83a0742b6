//! Cooperative descriptors.

mod attempt;
mod drained;
mod future_waits;
#[cfg(feature = "futures-io")]
mod futures_io;
mod green;
mod operation;
mod pipe;
mod read_write;
mod readiness;
mod registration;
mod shared;
mod timeout;
pub(crate) mod wait_any;

pub use crate::reactor::Direction;
pub use green::Green;
pub use pipe::{PipeReader, PipeWriter, pipe};
pub use timeout::{Sharing, Timeout};

pub(crate) use future_waits::FutureWaits;
pub(crate) use read_write::not_utf8;
pub(crate) use readiness::{ReadinessWaiter, is_ready};
pub(crate) use shared::is_always_ready;
