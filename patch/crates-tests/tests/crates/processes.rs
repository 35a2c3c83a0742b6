//! Child processes of std, and of crates that build upon it.

use std::process::Command;
use std::time::Duration;

use wait_timeout::ChildExt;

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

/// duct feeds and waits for the children of a pipeline on helper OS threads, and joins these.
#[test]
fn pipelines_of_duct_run_at_once() {
    patched(|| {
        let outputs = at_once(10, |index| {
            let slow = duct::cmd!("sh", "-c", "sleep 0.3; cat");
            let pipeline = slow.stdin_bytes(index.to_string()).pipe(duct::cmd!("cat"));
            pipeline.read().unwrap()
        });
        for (index, output) in outputs.iter().enumerate() {
            assert_eq!(*output, index.to_string());
        }
    });
}

#[test]
fn timeouts_of_wait_timeout_end_waits_for_children() {
    patched(|| {
        let exits = at_once(10, |index| {
            let time = if index % 2 == 0 { "0.2" } else { "20" };
            let mut child = Command::new("sleep").arg(time).spawn().unwrap();
            let exit = child.wait_timeout(Duration::from_millis(600)).unwrap();
            child.kill().ok();
            child.wait().unwrap();
            exit.is_some()
        });
        let expected: Vec<bool> = (0..10).map(|index| index % 2 == 0).collect();
        assert_eq!(exits, expected);
    });
}

#[cfg(feature = "all")]
#[test]
fn ten_green_threads_communicate_with_children_by_subprocess() {
    patched(|| {
        let outputs = at_once(10, |_| {
            use subprocess::{Exec, Redirection};
            let script = "sleep 0.3; cat; head -c 300000 /dev/zero; echo error >&2";
            let child = Exec::cmd("sh").args(["-c", script]).stdin("input");
            let child = child.stdout(Redirection::Pipe).stderr(Redirection::Pipe);
            let output = child.capture().unwrap();
            (output.stdout.len(), output.stderr)
        });
        for (len, error) in outputs {
            assert_eq!((len, error), (300_005, b"error\n".to_vec()));
        }
    });
}
