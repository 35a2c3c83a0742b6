//! `dump`: what each green thread of the OS thread does, as text.

use crate::sched;

/// Returns a line for each green thread of this OS thread: its name, where it was spawned, and what
/// it waits for.
///
/// The green threads of other OS threads are not in it. A call of an unchanged library, with the
/// feature `patch`, is shown by the name of the C function and by its descriptor.
///
/// # Panics
///
/// Panics if this is the first call on this OS thread and the system cannot create a poller.
///
/// # Examples
///
/// A program that hangs can be asked for it by `kill -USR1`:
///
/// ```
/// # #[cfg(feature = "signal")] {
/// use evy::signal::{SIGUSR1, Signals};
///
/// let signals = Signals::new([SIGUSR1])?;
/// evy::spawn_n(move || {
///     loop {
///         signals.recv();
///         eprint!("{}", evy::dump());
///     }
/// });
/// # }
/// # std::io::Result::Ok(())
/// ```
#[must_use]
pub fn dump() -> String {
    sched::current().dump()
}
