//! Programs that serve the tests: `redis-server` and the like.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running program. Dropping it kills the program.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Says that a program is missing, which fails the test where `EVY_REQUIRE_SERVERS` is set.
pub(crate) fn skip(program: &str) {
    let is_required = std::env::var_os("EVY_REQUIRE_SERVERS").is_some();
    assert!(!is_required, "{program} is not installed");
    println!("skipped: {program} is not installed; ci/patch.sh installs it");
}

/// Returns a port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Starts a program and waits until it accepts connections on `port`. Returns `None`, and says so,
/// if it is not installed.
///
/// Call it before the first call of evy on the OS thread, so that its waits are plain ones.
pub(crate) fn start(mut command: Command, port: u16) -> Option<Running> {
    let started = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = started else {
        skip(&command.get_program().to_string_lossy());
        return None;
    };
    let mut running = Running(child);
    let start = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if let Some(status) = running.0.try_wait().unwrap() {
            panic!("{command:?} has ended: {status}");
        }
        assert!(start.elapsed() < Duration::from_secs(40), "{command:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(running)
}
