//! Tests of programs with `panic = "abort"`, in which nothing can unwind. `docs/PANIC_ABORT.md` lists
//! what they show. No test binary is built that way, so these tests build a program of their own.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use evy_test_support::{Program, is_emulated};

/// Builds the program once for all tests.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let runtime = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = runtime.join("..");
        let program = Program {
            name: "abort",
            source: runtime.join("tests/process/abort_program.rs"),
            dependencies: format!(
                "evy = {{ path = {root:?}, default-features = false, features = [\"net\", \"pool\", \"http\"] }}"
            ),
            profile: "panic = \"abort\"",
        };
        program.build(&root, Path::new(env!("CARGO_TARGET_TMPDIR")))
    })
}

/// Runs one case of the program, unless the tests are emulated and nothing can be built.
fn run(case: &str) -> Option<Output> {
    let run = || Command::new(program()).arg(case).output().unwrap();
    (!is_emulated()).then(run)
}

fn succeeds(case: &str) {
    if let Some(output) = run(case) {
        assert!(output.status.success(), "{output:?}");
    }
}

/// Runs a case that aborts. Its standard error contains `text`.
fn aborts(case: &str, text: &str) {
    use std::os::unix::process::ExitStatusExt;
    if let Some(output) = run(case) {
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(6), "{error}");
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn without_unwinding_a_kill_does_not_end_an_infallible_wait() {
    succeeds("kill-infallible");
}

#[test]
fn without_unwinding_a_kill_makes_io_fail() {
    succeeds("kill-io");
}

#[test]
fn without_unwinding_a_green_thread_that_is_killed_before_it_starts_is_dropped() {
    succeeds("kill-unstarted");
}

#[test]
fn without_unwinding_a_green_thread_that_kills_itself_goes_on() {
    succeeds("kill-self");
}

#[test]
fn without_unwinding_a_timeout_does_not_end_an_infallible_wait() {
    succeeds("timeout-infallible");
}

#[test]
fn without_unwinding_a_timeout_makes_io_fail() {
    succeeds("timeout-io");
}

#[test]
fn without_unwinding_a_timeout_makes_the_wait_for_a_child_fail() {
    succeeds("timeout-child");
}

#[test]
fn without_unwinding_a_shield_keeps_io_from_failing() {
    succeeds("shield");
}

#[test]
fn without_unwinding_a_scope_waits_for_children_that_were_killed() {
    succeeds("scope");
}

#[test]
fn without_unwinding_jobs_of_a_pool_that_were_killed_run_on_and_return_their_slots() {
    succeeds("pool-jobs");
}

#[test]
fn without_unwinding_a_timeout_does_not_end_the_wait_for_a_resource() {
    succeeds("pool-resource");
}

#[test]
fn without_unwinding_a_server_reads_and_serves_and_its_connections_end_by_errors() {
    succeeds("serve");
}

#[test]
fn without_unwinding_a_panic_of_an_http_handler_ends_the_process() {
    aborts("panic-http-handler", "the reason");
}

#[test]
fn without_unwinding_a_panic_of_the_body_of_a_request_ends_the_process() {
    aborts("panic-http-body", "the reason");
}

#[test]
fn without_unwinding_requests_end_by_errors_and_leave_no_connection() {
    succeeds("http-client");
}

#[test]
fn without_unwinding_a_stop_of_an_http_server_leaves_handlers_that_are_parked() {
    succeeds("http-stop");
}

#[test]
fn without_unwinding_a_panic_of_a_worker_ends_the_process() {
    aborts("panic-worker", "the reason");
}

#[test]
fn without_unwinding_a_stop_of_workers_abandons_handlers_that_are_parked() {
    succeeds("workers-stop");
}

#[test]
fn without_unwinding_an_initializer_runs_to_its_end() {
    succeeds("lazy");
}

#[test]
fn without_unwinding_a_lock_is_never_poisoned() {
    succeeds("lock");
}

#[test]
fn without_unwinding_no_message_is_lost() {
    succeeds("channel");
}

#[test]
fn without_unwinding_a_shutdown_returns_the_number_that_is_left() {
    succeeds("shutdown");
}

#[test]
fn without_unwinding_a_panic_of_a_green_thread_ends_the_process() {
    aborts("panic", "the reason");
}

#[test]
fn without_unwinding_a_panic_of_a_job_ends_the_process() {
    aborts("panic-job", "the reason");
}

#[test]
fn without_unwinding_a_copy_ends_by_its_streams_alone() {
    succeeds("copy");
}

#[test]
fn without_unwinding_a_panic_of_a_handler_ends_the_process() {
    aborts("panic-handler", "the reason");
}

#[test]
fn without_unwinding_a_deadlock_ends_the_process_with_the_report() {
    aborts("deadlock", "every green thread of this OS thread is parked");
}
