//! `Child`: a process that was started, and the wait for its end.

use std::fmt;
use std::io::{self, Read};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::process::{self, ExitStatus, Output};

use super::exit::ExitNotice;
use super::pipes::{ChildStderr, ChildStdin, ChildStdout};
use crate::sched;
use crate::thread::{self, Builder, scope};

/// A running or exited child process, like [`std::process::Child`].
///
/// Like in std, dropping a `Child` neither ends nor reaps the process.
///
/// # Examples
///
/// ```
/// use evy::process::{Command, Stdio};
/// use std::io::Write;
///
/// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
/// child.stdin.take().unwrap().write_all(b"through a child")?;
/// let output = child.wait_with_output()?;
/// assert_eq!(output.stdout, b"through a child");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Child {
    /// The handle for writing to the standard input of the child, if it was captured.
    pub stdin: Option<ChildStdin>,
    /// The handle for reading from the standard output of the child, if it was captured.
    pub stdout: Option<ChildStdout>,
    /// The handle for reading from the standard error of the child, if it was captured.
    pub stderr: Option<ChildStderr>,
    /// Std's handle, without the pipes.
    inner: process::Child,
    exit_notice: ExitNotice,
}

impl Child {
    /// Forces the child to exit, by `SIGKILL`.
    ///
    /// Returns `Ok` without an effect if the child has been waited for.
    ///
    /// # Errors
    ///
    /// Returns an error as [`std::process::Child::kill`] does.
    pub fn kill(&mut self) -> io::Result<()> {
        self.inner.kill()
    }

    /// Returns the process id of the child.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// Waits for the end of the child and returns its status. Later calls return it again.
    ///
    /// Closes the standard input of the child first, so that a child that reads it to its end does
    /// not wait for the parent while the parent waits for it.
    ///
    /// Parks until the child has ended. A wait that is ended by a kill or a timeout has no effect on
    /// the child, and a later `wait` returns its status.
    ///
    /// # Errors
    ///
    /// Returns an error as [`std::process::Child::wait`] does: `ECHILD` if this process ignores
    /// `SIGCHLD`, or if something else has reaped the child.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::process::Command;
    /// use std::time::Duration;
    ///
    /// let mut child = Command::new("sleep").arg("0.1").spawn()?;
    /// let timed_out = evy::timeout(Duration::from_millis(1), || child.wait());
    /// assert!(timed_out.is_err());
    /// assert!(child.wait()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        thread::charge(|| false);
        if let Some(status) = self.reap()? {
            return Ok(status);
        }
        let pid = self.inner.id();
        self.exit_notice.wait_until(pid, || self.inner.try_wait())
    }

    /// Returns the status of the child if it has ended.
    ///
    /// Never parks, except that after many calls in vain it yields, so that a loop of calls lets
    /// others run. Unlike [`wait`](Self::wait), it does not close the standard input of the child.
    ///
    /// # Errors
    ///
    /// Returns an error as [`std::process::Child::try_wait`] does.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        thread::charge_try(|| self.reap(), |status| matches!(status, Ok(None)))
    }

    /// Returns the status of the child if it has ended. A handle that is kept then does not keep the
    /// descriptor of an earlier wait.
    fn reap(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.inner.try_wait();
        if !matches!(status, Ok(None)) {
            self.exit_notice = ExitNotice::default();
        }
        status
    }

    /// Waits for the end of the child and returns its status, and what can be read from its standard
    /// output and error until they are closed.
    ///
    /// Closes the standard input of the child first, as [`wait`](Self::wait) does. Both outputs are
    /// read at the same time, because a child that fills one pipe would otherwise wait forever.
    ///
    /// Parks until the outputs are closed, also by the children that have inherited them, and the
    /// child has ended. A wait that is ended by a kill or a timeout drops the handle, and the child
    /// goes on.
    ///
    /// # Errors
    ///
    /// Returns an error as `wait` and reads of the pipes do. If both outputs are captured, also
    /// returns one if no stack can be allocated for the green thread that reads one of them.
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = match (self.stdout.take(), self.stderr.take()) {
            (Some(stdout), Some(stderr)) => read_both(stdout, stderr)?,
            (stdout, stderr) => (read_all(stdout)?, read_all(stderr)?),
        };
        let status = self.wait()?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }
}

/// Reads two pipes to their ends at the same time.
fn read_both(stdout: ChildStdout, stderr: ChildStderr) -> io::Result<(Vec<u8>, Vec<u8>)> {
    sched::try_current()?;
    scope(|scope| {
        let stderr = Builder::new().spawn_scoped(scope, || read_all(Some(stderr)))?;
        let stdout = read_all(Some(stdout));
        if stdout.is_err() {
            stderr.kill();
        }
        let stderr = stderr.join().map_err(io::Error::other);
        Ok((stdout?, stderr??))
    })
}

/// Reads a pipe to its end, and closes it.
fn read_all(pipe: Option<impl Read>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

impl From<process::Child> for Child {
    fn from(mut inner: process::Child) -> Self {
        Self {
            stdin: inner.stdin.take().map(Into::into),
            stdout: inner.stdout.take().map(Into::into),
            stderr: inner.stderr.take().map(Into::into),
            inner,
            exit_notice: ExitNotice::default(),
        }
    }
}

// As std's: a wait that unwinds leaves the child as it was.
impl UnwindSafe for Child {}
impl RefUnwindSafe for Child {}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .finish_non_exhaustive()
    }
}
