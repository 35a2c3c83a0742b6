//! `Command`: std's builder, whose children are evy's.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::{self, CommandArgs, CommandEnvs, ExitStatus, Output, Stdio};

use super::child::Child;
use crate::fork;
use crate::thread;

/// A process builder, like [`std::process::Command`].
///
/// # Differences from std
///
/// A builder that was converted from std's does not know which streams were redirected before.
/// [`output`](Self::output) captures the standard output and error then, and gives the child an
/// empty standard input. Afterwards these streams are inherited again.
///
/// # Examples
///
/// ```
/// use evy::process::Command;
///
/// let output = Command::new("sh").args(["-c", "echo out; echo err >&2"]).output()?;
/// assert!(output.status.success());
/// assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Command {
    pub(super) inner: process::Command,
    redirected: Redirected,
}

/// Which streams the program has redirected. `output` redirects the others.
#[derive(Default)]
struct Redirected {
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

impl Command {
    /// Returns a builder for a process that runs `program`, which is searched for in `PATH`.
    pub fn new<S: AsRef<OsStr>>(program: S) -> Self {
        process::Command::new(program).into()
    }

    /// Adds an argument.
    pub fn arg<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Self {
        self.inner.arg(arg);
        self
    }

    /// Adds several arguments.
    pub fn args<I, S>(&mut self, args: I) -> &mut Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.inner.args(args);
        self
    }

    /// Sets an environment variable of the child.
    pub fn env<K, V>(&mut self, key: K, val: V) -> &mut Self
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.inner.env(key, val);
        self
    }

    /// Sets several environment variables of the child.
    pub fn envs<I, K, V>(&mut self, vars: I) -> &mut Self
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.inner.envs(vars);
        self
    }

    /// Removes an environment variable, and keeps the child from inheriting it.
    pub fn env_remove<K: AsRef<OsStr>>(&mut self, key: K) -> &mut Self {
        self.inner.env_remove(key);
        self
    }

    /// Removes all environment variables, and keeps the child from inheriting any.
    pub fn env_clear(&mut self) -> &mut Self {
        self.inner.env_clear();
        self
    }

    /// Sets the working directory of the child.
    pub fn current_dir<P: AsRef<Path>>(&mut self, dir: P) -> &mut Self {
        self.inner.current_dir(dir);
        self
    }

    /// Sets the standard input of the child.
    ///
    /// By default, `spawn` and `status` let the child inherit that of this process, and `output`
    /// gives it an empty one.
    pub fn stdin<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Self {
        self.redirected.stdin = true;
        self.inner.stdin(cfg);
        self
    }

    /// Sets the standard output of the child.
    ///
    /// By default, `spawn` and `status` let the child inherit that of this process, and `output`
    /// captures it.
    pub fn stdout<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Self {
        self.redirected.stdout = true;
        self.inner.stdout(cfg);
        self
    }

    /// Sets the standard error of the child.
    ///
    /// By default, `spawn` and `status` let the child inherit that of this process, and `output`
    /// captures it.
    pub fn stderr<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Self {
        self.redirected.stderr = true;
        self.inner.stderr(cfg);
        self
    }

    /// Starts the child and returns a handle to it.
    ///
    /// The call blocks the OS thread until the child has begun to run the program. It does not
    /// park, except that it first yields if the green thread has run for long.
    ///
    /// # Errors
    ///
    /// Returns an error as [`std::process::Command::spawn`] does: `NotFound` if there is no such
    /// program.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::process::Command;
    ///
    /// let mut child = Command::new("true").spawn()?;
    /// assert!(child.wait()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn(&mut self) -> io::Result<Child> {
        charge()?;
        self.inner.spawn().map(Child::from)
    }

    /// Starts the child, waits for its end, and returns its status and what it has written.
    ///
    /// If the caller is killed or times out meanwhile, the child goes on, and no handle is left
    /// that could reap it. Use [`spawn`](Self::spawn) and [`Child::wait`] where that matters.
    ///
    /// Parks until the child has ended and its outputs are closed.
    ///
    /// # Errors
    ///
    /// Returns an error as `spawn`, [`Child::wait`] and reads of the pipes do.
    pub fn output(&mut self) -> io::Result<Output> {
        charge()?;
        self.spawn_captured()?.wait_with_output()
    }

    /// Starts the child, waits for its end, and returns its status.
    ///
    /// If the caller is killed or times out meanwhile, the child goes on, and no handle is left
    /// that could reap it. Use [`spawn`](Self::spawn) and [`Child::wait`] where that matters.
    ///
    /// Parks until the child has ended.
    ///
    /// # Errors
    ///
    /// Returns an error as `spawn` and [`Child::wait`] do.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::process::Command;
    ///
    /// let status = Command::new("sh").args(["-c", "exit 3"]).status()?;
    /// assert_eq!(status.code(), Some(3));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// Returns the program.
    #[must_use]
    pub fn get_program(&self) -> &OsStr {
        self.inner.get_program()
    }

    /// Returns an iterator over the arguments.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.inner.get_args()
    }

    /// Returns an iterator over the environment variables that were set or removed.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.inner.get_envs()
    }

    /// Returns the working directory of the child, if it was set.
    #[must_use]
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.inner.get_current_dir()
    }

    /// Starts the child with the streams that `output` needs. Those that the program has not
    /// redirected are the inherited ones again for the next child.
    fn spawn_captured(&mut self) -> io::Result<Child> {
        let Redirected {
            stdin,
            stdout,
            stderr,
        } = self.redirected;
        if !stdin {
            self.inner.stdin(Stdio::null());
        }
        if !stdout {
            self.inner.stdout(Stdio::piped());
        }
        if !stderr {
            self.inner.stderr(Stdio::piped());
        }
        let child = self.inner.spawn();
        if !stdin {
            self.inner.stdin(Stdio::inherit());
        }
        if !stdout {
            self.inner.stdout(Stdio::inherit());
        }
        if !stderr {
            self.inner.stderr(Stdio::inherit());
        }
        child.map(Child::from)
    }
}

/// Lets the others run first if the green thread has run for long, because starting a process takes
/// long.
fn charge() -> io::Result<()> {
    fork::check()?;
    thread::charge(|| false);
    Ok(())
}

impl From<process::Command> for Command {
    fn from(inner: process::Command) -> Self {
        Self {
            inner,
            redirected: Redirected::default(),
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
