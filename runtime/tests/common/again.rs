//! Running the test binary again, for what is to happen to a whole process.

use std::process::Command;

/// The command that runs the ignored test `name` of this test binary in a process of its own.
pub(crate) fn again(name: &str) -> Command {
    let this = std::env::current_exe().expect("the test binary knows its path");
    let mut command = match std::env::var("EVY_TEST_RUNNER") {
        Ok(runner) => {
            let mut words = runner.split_whitespace();
            let mut command = Command::new(words.next().expect("a runner has a name"));
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
