//! Diagnostics: modules that read the state of the layers below. No other layer depends on them.

mod watchdog;

pub use watchdog::{HogReport, Watchdog, watchdog};
