//! `ctrl_c`: waits for the user to press Ctrl-C.

use std::cell::OnceCell;
use std::io;
use std::sync::OnceLock;

use super::{SIGINT, Signals};
use crate::thread::LocalKey;

/// Keeps `SIGINT` installed for good.
static KEPT: OnceLock<Signals> = OnceLock::new();

/// What this green thread receives.
static OWN: LocalKey<OnceCell<Signals>> = LocalKey::new(OnceCell::new);

/// Waits for the next `SIGINT`, which the system sends when the user presses Ctrl-C.
///
/// From the first call on, `SIGINT` does not end the process any more, whether a call waits or not.
///
/// Each green thread receives every `SIGINT` since its first call. None is lost between two calls, so
/// a loop misses nothing. The first call of a green thread waits for one that comes later. For a
/// `select!`, use [`Signals`].
///
/// Parks until there is a `SIGINT`.
///
/// # Errors
///
/// Returns the error of the system if the handler cannot be installed.
///
/// # Examples
///
/// ```no_run
/// evy::spawn_n(|| {
///     evy::signal::ctrl_c().unwrap();
///     println!("interrupted");
///     std::process::exit(130);
/// });
/// ```
pub fn ctrl_c() -> io::Result<()> {
    if KEPT.get().is_none() {
        KEPT.set(Signals::new([SIGINT])?).ok();
    }
    OWN.with(|own| {
        let own = match own.get() {
            Some(own) => own,
            None => {
                let new = Signals::new([SIGINT])?;
                own.get_or_init(|| new)
            }
        };
        own.recv();
        Ok(())
    })
}
