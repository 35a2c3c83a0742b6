//! CPU affinity: a core for each side, child processes pinned to it, and their processor time.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The core of the server, and that of the load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cores {
    pub(super) server: usize,
    pub(super) load: usize,
}

impl Cores {
    /// Chooses the first two cores that this process may use. If there is only one, both sides
    /// share it.
    pub(super) fn choose() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let server = cores.next().ok_or(io::ErrorKind::Unsupported)?;
        let load = cores.next().unwrap_or(server);
        if load == server {
            eprintln!("only one core is available: the load will slow down the server");
        }
        Ok(Self { server, load })
    }
}

/// A child process that runs this program with other arguments on one core, with a pipe in each
/// direction. It is killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pub(super) input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    pub(super) fn start(core: usize, words: &[&str]) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // A child inherits the affinity of its parent, so the parent's is changed during the spawn.
        let before = sched_getaffinity(None)?;
        let mut only = CpuSet::new();
        only.set(core);
        sched_setaffinity(None, &only)?;
        let spawned = command.spawn();
        sched_setaffinity(None, &before)?;
        let mut child = spawned?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the next line of the child's output.
    ///
    /// # Errors
    ///
    /// Returns `UnexpectedEof` if the child has ended. It has printed the reason on stderr.
    pub(super) fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both may fail if the child has ended already, and then neither is needed.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Returns the processor time that all OS threads of a process have used so far, in user and kernel
/// mode.
///
/// It is read from `schedstat`, which counts nanoseconds; `stat` counts hundredths of a second.
/// When a process sends, the kernel also does work for the other end of the connection. That is
/// included.
pub(super) fn cpu(process: u32) -> io::Result<Duration> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let nanos = text.split(' ').next().and_then(|word| word.parse().ok());
        sum += nanos.unwrap_or(0);
    }
    Ok(Duration::from_nanos(sum))
}
