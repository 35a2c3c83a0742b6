//! Standard input, output and error, with the interface of [`std::io`].
//!
//! The descriptors 0 to 2 are shared with other processes, so nothing is changed on them
//! ([`Green::shared`](crate::io::Green::shared)).

mod is_terminal;
mod output;
mod stderr;
mod stdin;
mod stdin_buffer;
mod stdout;

pub use is_terminal::IsTerminal;
pub use stderr::{Stderr, StderrLock, stderr};
pub use stdin::{Stdin, StdinLock, stdin};
pub use stdout::{Stdout, StdoutLock, stdout};

/// Implements what all handles of a standard stream and their locks have in common: they give
/// access to the descriptor of std's handle in their field `std`.
macro_rules! descriptor_of_std {
    ($kind:ident $(<$lifetime:lifetime>)?) => {
        impl std::os::fd::AsFd for $kind $(<$lifetime>)? {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.std.as_fd()
            }
        }

        impl std::os::fd::AsRawFd for $kind $(<$lifetime>)? {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.std.as_raw_fd()
            }
        }

        impl std::fmt::Debug for $kind $(<$lifetime>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($kind)).finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use descriptor_of_std;
