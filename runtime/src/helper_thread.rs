//! The OS threads of the runtime itself.

use std::io;
use std::thread::Builder;

use crate::pthread_identity::as_os_thread;

/// Starts an OS thread that runs `f`. Without a `stack_size` it has the default size of std.
///
/// # Errors
///
/// Returns the error of the system if it has no OS thread.
pub(crate) fn start(
    name: &str,
    stack_size: Option<usize>,
    f: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let mut builder = Builder::new().name(name.into());
    if let Some(bytes) = stack_size {
        builder = builder.stack_size(bytes);
    }
    // SAFETY: starting a thread neither parks nor unwinds, and the builder has no thread local.
    unsafe { as_os_thread(|| builder.spawn(f)) }.map(drop)
}
