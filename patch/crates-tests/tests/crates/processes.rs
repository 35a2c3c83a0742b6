//! Child processes of std.

use std::process::Command;

use crate::{at_once, patched};

#[test]
fn ten_green_threads_wait_for_the_output_of_a_child() {
    patched(|| {
        let outputs = at_once(10, |index| {
            let script = format!("sleep 0.3; echo {index}; echo error >&2; exit 3");
            Command::new("sh").args(["-c", &script]).output().unwrap()
        });
        for (index, output) in outputs.into_iter().enumerate() {
            assert_eq!(output.stdout, format!("{index}\n").as_bytes());
            assert_eq!(output.stderr, b"error\n");
            assert_eq!(output.status.code(), Some(3));
        }
    });
}
