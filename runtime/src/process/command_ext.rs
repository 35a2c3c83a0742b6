//! `CommandExt`: what a `Command` can do on Unix only.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt as _;

use super::command::Command;

/// Extensions to [`process::Command`](crate::process::Command) for Unix, like
/// [`std::os::unix::process::CommandExt`].
///
/// The trait is sealed: it cannot be implemented for other types.
pub trait CommandExt: Sealed {
    /// Sets the user id of the child.
    fn uid(&mut self, id: u32) -> &mut Command;

    /// Sets the group id of the child.
    fn gid(&mut self, id: u32) -> &mut Command;

    /// Schedules a closure to be run in the child, just before the program.
    ///
    /// The child is a process that was created with `fork`, so evy does not work in the closure.
    ///
    /// # Safety
    ///
    /// The closure must be sound in a process that was forked from one with several OS threads, as
    /// for [`std::os::unix::process::CommandExt::pre_exec`]. It may call only what may be called in
    /// a signal handler, because another OS thread may have held any lock at the time of the `fork`.
    unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Command
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static;

    /// Schedules a closure to be run in the child, just before the program.
    ///
    /// # Safety
    ///
    /// As for [`pre_exec`](Self::pre_exec).
    #[deprecated(note = "should be unsafe, use `pre_exec` instead")]
    unsafe fn before_exec<F>(&mut self, f: F) -> &mut Command
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static,
    {
        // SAFETY: the requirements are those of the caller.
        unsafe { self.pre_exec(f) }
    }

    /// Replaces this process by the program. Returns an error if that fails, and does not return
    /// otherwise.
    ///
    /// Nothing of this process runs any more: no destructor, and no other green thread.
    fn exec(&mut self) -> io::Error;

    /// Sets the first argument of the program, which is its own name.
    fn arg0<S>(&mut self, arg: S) -> &mut Command
    where
        S: AsRef<OsStr>;

    /// Sets the process group of the child. With 0, the child leads a new group.
    fn process_group(&mut self, pgroup: i32) -> &mut Command;
}

impl CommandExt for Command {
    fn uid(&mut self, id: u32) -> &mut Command {
        self.inner.uid(id);
        self
    }

    fn gid(&mut self, id: u32) -> &mut Command {
        self.inner.gid(id);
        self
    }

    unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Command
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static,
    {
        // SAFETY: the requirements are those of the caller.
        unsafe { self.inner.pre_exec(f) };
        self
    }

    fn exec(&mut self) -> io::Error {
        self.inner.exec()
    }

    fn arg0<S>(&mut self, arg: S) -> &mut Command
    where
        S: AsRef<OsStr>,
    {
        self.inner.arg0(arg);
        self
    }

    fn process_group(&mut self, pgroup: i32) -> &mut Command {
        self.inner.process_group(pgroup);
        self
    }
}

#[expect(
    unnameable_types,
    reason = "no other crate can name it, so none can implement the trait"
)]
pub trait Sealed {}

impl Sealed for Command {}
