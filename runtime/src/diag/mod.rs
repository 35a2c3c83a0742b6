//! Diagnostics: modules that read the state of the layers below. No other layer depends on them.

mod dump;
mod watchdog;

pub use dump::dump;
pub use watchdog::{HogReport, Watchdog, watchdog};
