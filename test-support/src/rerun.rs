//! Running the test binary again, for tests of what happens to a whole process.

use std::process::Command;

/// Returns the command that runs the ignored test `name` of this test binary in a process of its
/// own.
#[must_use]
pub fn rerun_ignored(name: &str) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut command = match std::env::var("EVY_TEST_RUNNER") {
        Ok(runner) => {
            let mut words = runner.split_whitespace();
            let mut command = Command::new(words.next().unwrap());
            command.args(words).arg(this);
            command
        }
        Err(_) => Command::new(this),
    };
    command.args([
        "--ignored",
        "--exact",
        name,
        "--nocapture",
        "--test-threads=1",
    ]);
    command
}
