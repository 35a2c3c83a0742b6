//! `IsTerminal`: whether a descriptor is a terminal.

use std::os::fd::AsFd;

/// Whether a descriptor is a terminal, like [`std::io::IsTerminal`].
///
/// # Differences from std
///
/// - The trait is another one, because std's cannot be implemented elsewhere. Everything that has a
///   descriptor implements it, std's types included.
///
/// # Examples
///
/// ```
/// use evy::io::{IsTerminal, stdin};
///
/// if stdin().is_terminal() {
///     println!("type something");
/// }
/// ```
pub trait IsTerminal {
    /// Returns `true` if the descriptor is a terminal.
    fn is_terminal(&self) -> bool;
}

impl<T: AsFd + ?Sized> IsTerminal for T {
    fn is_terminal(&self) -> bool {
        std::io::IsTerminal::is_terminal(&self.as_fd())
    }
}
