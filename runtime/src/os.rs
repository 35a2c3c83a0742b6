//! What exists on Unix only, like [`std::os`].

/// Extensions for Unix, like [`std::os::unix`].
pub mod unix {
    /// Extensions to [`process`](crate::process) for Unix, like [`std::os::unix::process`].
    pub mod process {
        pub use crate::process::command_ext::CommandExt;
        pub use std::os::unix::process::{ExitStatusExt, parent_id};
    }
}
