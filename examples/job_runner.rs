//! Job pattern: shell commands as child processes, a few at a time, each with a time limit.
//!
//! ```text
//! cargo run --release --example job_runner [COMMAND...]     (default: 20 commands of its own)
//! ```
//!
//! At most four commands run at once. One that takes longer than a second is killed. The program
//! prints the result of each command in the order in which they were given, and then how many
//! succeeded, failed and took too long. All this happens on one OS thread.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use evy::GreenPool;
use evy::process::{Command, ExitStatus, Stdio};

const JOBS: usize = 4;
const LIMIT: Duration = Duration::from_secs(1);

/// Runs a command, and adds what it prints to `text`. Returns its status, or `None` if it took too
/// long.
fn run(command: &str, text: &mut String) -> io::Result<Option<ExitStatus>> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = child.stdout.take().expect("the output is captured");
    let finished = evy::timeout(LIMIT, || {
        output.read_to_string(text)?;
        child.wait()
    });
    match finished {
        Ok(status) => status.map(Some),
        Err(_elapsed) => {
            child.kill()?;
            child.wait()?;
            Ok(None)
        }
    }
}

/// Twenty commands: most of them succeed, the 7th fails, and the 13th takes too long.
fn demo() -> Vec<String> {
    let job = |n| match n {
        7 => "echo job 7 has failed; exit 3".to_owned(),
        13 => "exec sleep 60".to_owned(),
        _ => format!("sleep 0.1; echo job {n} is done"),
    };
    (1..=20).map(job).collect()
}

fn main() {
    let mut commands: Vec<_> = std::env::args().skip(1).collect();
    if commands.is_empty() {
        commands = demo();
    }
    let start = Instant::now();
    let (mut succeeded, mut failed, mut late) = (0, 0, 0);
    let pool = GreenPool::new(JOBS);
    let run = |command: String| {
        let mut text = String::new();
        let outcome = run(&command, &mut text);
        (command, outcome, text)
    };
    for (command, outcome, text) in pool.imap(run, commands) {
        let (count, result) = match outcome {
            Ok(Some(status)) if status.success() => (&mut succeeded, status.to_string()),
            Ok(Some(status)) => (&mut failed, status.to_string()),
            Ok(None) => (&mut late, "killed, because it took too long".to_owned()),
            Err(error) => (&mut failed, error.to_string()),
        };
        *count += 1;
        println!("{command}: {result}\n{text}");
    }
    let elapsed = start.elapsed().as_secs_f64();
    println!("{succeeded} succeeded, {failed} failed, {late} took too long, in {elapsed:.1} s");
}
