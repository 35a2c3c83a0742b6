//! Diagnosis: it reads what the layers below know, and none of them knows it.

mod watchdog;

pub use watchdog::{HogReport, Watchdog, watchdog};
