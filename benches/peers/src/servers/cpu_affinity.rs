//! What is asked of the system: a core for each side, children on them, their processor time.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A core for the server, and one for the load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cores {
    pub(super) server: usize,
    pub(super) load: usize,
}

impl Cores {
    /// The first two that this process may use; where there is one alone, that one twice.
    pub(super) fn choose() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let server = cores.next().ok_or(io::ErrorKind::Unsupported)?;
        let load = cores.next().unwrap_or(server);
        if load == server {
            eprintln!("there is one core only: the load is in the server's way");
        }
        Ok(Self { server, load })
    }
}

/// This program with other words, in a process on one core, and a pipe each way. Killed when
/// dropped.
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
        // A child inherits where its parent may run.
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

    /// The next line that it prints. Where it has ended, its last words are on stderr.
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
        // Neither is needed where it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Processor time that a process has used so far, in user and kernel, over all OS threads.
///
/// `schedstat` counts nanoseconds where `stat` counts hundredths of a second. What the kernel does
/// for the other end of a connection while this one sends is in it.
pub(super) fn cpu(process: u32) -> io::Result<Duration> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let nanos = text.split(' ').next().and_then(|word| word.parse().ok());
        sum += nanos.unwrap_or(0);
    }
    Ok(Duration::from_nanos(sum))
}
