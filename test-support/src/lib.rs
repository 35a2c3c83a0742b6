//! Helpers that the tests of evy's crates share.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a failed helper is a failed test"
)]

mod counting_allocator;
mod explore;
#[cfg(target_os = "linux")]
mod forbid;
mod item_tracker;
mod log;
#[cfg(feature = "net")]
pub mod mock_stream;
mod program;
mod rerun;
#[cfg(feature = "net")]
pub mod stream;
mod within;

pub use counting_allocator::CountingAllocator;
pub use explore::in_any_order;
#[cfg(target_os = "linux")]
pub use forbid::forbid_system_call;
pub use item_tracker::{Item, ItemTracker};
pub use log::Log;
pub use program::{Program, is_emulated, shares_thread_locals};
pub use rerun::rerun_ignored;
pub use within::{virtually, within};
