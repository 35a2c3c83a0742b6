//! Tests of how a process ends: by a stack overflow, by an abort, or by an exit with live green
//! threads. Each test runs this test binary again, for one test that is otherwise ignored.

use std::cell::{Cell, OnceCell};
use std::hint::black_box;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use evy_runtime::{lowlevel, sleep, spawn_n, thread, yield_now};
use evy_test_support::{is_emulated, rerun_ignored, shares_thread_locals};

/// Runs the ignored test `name` in its own process. Returns the output, and its standard error as
/// text.
fn crash(name: &str) -> (Output, String) {
    let output = rerun_ignored(name)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("the test binary runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, text)
}

fn was_aborted(output: &Output) -> bool {
    use std::os::unix::process::ExitStatusExt;
    // An emulator that is ended by a signal may report the signal as an exit code.
    output.status.signal() == Some(6) || output.status.code() == Some(134)
}

/// Recurses until the stack overflows, with a frame that is not optimized away.
#[expect(unconditional_recursion, reason = "that is the test")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    recurse(depth + 1) + black_box(frame[3])
}

#[test]
fn an_overflow_by_recursion_names_the_green_thread_and_aborts() {
    let (output, text) = crash("crash::recursion_overflows_a_stack");
    assert!(was_aborted(&output), "{output:?}");
    // The stack of one with an identity is larger.
    let size = if shares_thread_locals() { "65536" } else { "" };
    let expected = format!("'worker-42' has overflowed its stack of {size}");
    assert!(text.contains(&expected), "{text}");
    assert!(text.contains("crash.rs"), "{text}");
}

#[test]
#[ignore = "ends the process"]
fn recursion_overflows_a_stack() {
    let deep = || {
        black_box(recurse(0));
    };
    let builder = thread::Builder::new()
        .name("worker-42".into())
        .stack_size(64 * 1024);
    let worker = builder.spawn(deep).unwrap();
    worker.join().unwrap();
}

#[test]
fn an_overflow_by_one_large_frame_names_the_green_thread_and_aborts() {
    let (output, text) = crash("crash::one_large_frame_overflows_a_stack");
    assert!(was_aborted(&output), "{output:?}");
    assert!(
        text.contains("'large-frame' has overflowed its stack"),
        "{text}"
    );
}

#[expect(clippy::large_stack_arrays, reason = "that is the test")]
#[expect(clippy::large_stack_frames, reason = "that is the test")]
#[inline(never)]
fn large_frame() -> u8 {
    let frame = black_box([1u8; 200 * 1024]);
    frame[black_box(7)]
}

#[test]
#[ignore = "ends the process"]
fn one_large_frame_overflows_a_stack() {
    let builder = thread::Builder::new()
        .name("large-frame".into())
        .stack_size(64 * 1024);
    let worker = builder.spawn(large_frame).unwrap();
    worker.join().unwrap();
}

#[test]
fn an_overflow_of_the_stack_of_an_os_thread_is_reported_by_std() {
    let (output, text) = crash("crash::recursion_overflows_the_stack_of_the_os_thread");
    assert!(was_aborted(&output), "{output:?}");
    assert!(
        text.contains("has overflowed its stack") && !text.contains("evy:"),
        "{text}"
    );
}

#[test]
#[ignore = "ends the process"]
fn recursion_overflows_the_stack_of_the_os_thread() {
    // From here on, the test runs as the root green thread of this OS thread.
    yield_now();
    black_box(recurse(0));
}

#[test]
fn a_panic_is_printed_once_with_the_name_of_the_green_thread() {
    let (_, text) = crash("crash::a_named_green_thread_panics");
    assert_eq!(text.matches("the reason").count(), 1, "{text}");
    assert!(text.contains("green thread 'fetcher'"), "{text}");
}

#[test]
#[ignore = "prints a panic"]
fn a_named_green_thread_panics() {
    let named = thread::Builder::new()
        .name("fetcher".into())
        .spawn(|| panic!("the reason"))
        .unwrap();
    assert!(named.join().is_err());
}

#[test]
fn parking_in_a_panic_hook_aborts() {
    let (output, text) = crash("crash::a_panic_hook_sleeps");
    assert!(was_aborted(&output), "{output:?}");
    assert!(
        text.contains("tried to park in a panic hook, where parking is not allowed"),
        "{text}"
    );
    assert!(!text.contains("switched"), "{text}");
}

#[test]
#[ignore = "ends the process"]
fn a_panic_hook_sleeps() {
    std::panic::set_hook(Box::new(|_| sleep(Duration::from_millis(1))));
    spawn_n(|| {
        yield_now();
        eprintln!("switched");
    });
    yield_now();
    panic!("runs the hook");
}

#[test]
fn a_backtrace_of_a_green_thread_ends_at_its_entry() {
    let (output, text) = crash("crash::a_green_thread_captures_its_backtrace");
    assert!(output.status.success(), "{text}");
    let frames: Vec<_> = text.lines().filter(|line| line.contains("FRAME")).collect();
    assert!(
        frames
            .iter()
            .any(|line| line.contains("inner_of_the_backtrace")),
        "{text}"
    );
    assert!(frames.len() < 400, "{text}");
}

#[test]
#[ignore = "prints a backtrace"]
fn a_green_thread_captures_its_backtrace() {
    #[inline(never)]
    fn inner_of_the_backtrace() -> String {
        format!("{}", std::backtrace::Backtrace::force_capture())
    }
    let text = evy_runtime::spawn(inner_of_the_backtrace).join().unwrap();
    for line in text.lines() {
        eprintln!("FRAME {line}");
    }
    // corosensei links a coroutine to its resumer. With it, the backtrace ends on the stack of the
    // OS thread.
    let reaches_on = text.contains("a_green_thread_captures_its_backtrace\n");
    assert_eq!(reaches_on, lowlevel::SWITCH_BACKEND == "corosensei");
}

#[test]
fn a_deadlock_in_a_wait_that_must_not_unwind_aborts_with_the_report() {
    let (output, text) = crash("crash::a_shielded_green_thread_deadlocks");
    assert!(was_aborted(&output), "{output:?}");
    assert!(
        text.contains("every green thread of this OS thread is parked"),
        "{text}"
    );
}

#[test]
#[ignore = "ends the process"]
fn a_shielded_green_thread_deadlocks() {
    let borrowed = [1u8; 64];
    evy_runtime::scope(|s| {
        s.spawn(|| {
            // The shield defers the kill, and nothing wakes this green thread. The borrow must not
            // end before it does.
            evy_runtime::shield(thread::park);
            black_box(&borrowed);
        });
        yield_now();
        panic!("the parent unwinds");
    });
}

#[test]
fn a_green_thread_that_does_not_yield_is_reported_once_and_keeps_running() {
    let (output, text) = crash("crash::a_watched_green_thread_does_not_yield");
    assert!(output.status.success(), "{text}");
    assert_eq!(
        text.matches("without parking or yielding").count(),
        1,
        "{text}"
    );
    assert!(
        text.contains("evy: green thread #") && text.contains(" 'parser' (spawned at "),
        "{text}"
    );
    assert!(text.contains("the hog is done"), "{text}");
}

#[test]
#[ignore = "reports a hog"]
fn a_watched_green_thread_does_not_yield() {
    let limit = Duration::from_millis(100);
    let _watchdog = evy_runtime::watchdog(limit);
    let parser = thread::Builder::new()
        .name("parser".into())
        .spawn(move || {
            // For the watchdog, a call that blocks is the same as one that computes.
            #[expect(clippy::disallowed_methods, reason = "that is the test")]
            std::thread::sleep(limit * 5);
            eprintln!("the hog is done");
        })
        .unwrap();
    parser.join().unwrap();
}

#[test]
fn an_abandoned_green_thread_is_not_continued_by_a_later_destructor() {
    let (output, text) = crash("crash::a_later_destructor_unparks_a_green_thread");
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("destructor done") && !text.contains("continued"),
        "{text}"
    );
}

#[test]
#[ignore = "leaves a green thread"]
fn a_later_destructor_unparks_a_green_thread() {
    struct UnparksOnDrop(OnceCell<thread::JoinHandle<()>>);
    impl Drop for UnparksOnDrop {
        fn drop(&mut self) {
            self.0.get().unwrap().thread().unpark();
            sleep(Duration::from_millis(5));
            eprintln!("destructor done");
        }
    }
    thread_local! {
        static DESTRUCTOR: UnparksOnDrop = const { UnparksOnDrop(OnceCell::new()) };
    }
    std::thread::spawn(|| {
        // Used before evy is, so destroyed after evy has left this OS thread.
        DESTRUCTOR.with(|destructor| {
            assert!(destructor.0.get().is_none());
            let handle = evy_runtime::spawn(|| {
                thread::park();
                eprintln!("continued");
            });
            assert!(destructor.0.set(handle).is_ok());
        });
        yield_now();
    })
    .join()
    .unwrap();
}

#[test]
fn ready_green_threads_left_at_the_end_of_an_os_thread_are_reported_and_not_unwound() {
    let (output, text) = crash("crash::an_os_thread_ends_with_ready_green_threads");
    assert!(output.status.success(), "{text}");
    assert!(text.contains("ended with 2 live green threads"), "{text}");
    assert!(!text.contains("unwound"), "{text}");
}

struct LogsOnDrop;

impl Drop for LogsOnDrop {
    fn drop(&mut self) {
        eprintln!("unwound");
    }
}

#[test]
#[ignore = "leaves green threads"]
fn an_os_thread_ends_with_ready_green_threads() {
    std::thread::spawn(|| {
        spawn_n(|| {
            let _logs = LogsOnDrop;
            sleep(Duration::from_secs(3600));
        });
        yield_now();
        spawn_n(|| eprintln!("ran"));
    })
    .join()
    .unwrap();
}

#[test]
fn green_threads_that_wait_at_the_end_of_an_os_thread_are_left_silently() {
    let (output, text) = crash("crash::an_os_thread_ends_with_waiting_green_threads");
    assert!(output.status.success(), "{text}");
    assert!(
        !text.contains("evy:") && !text.contains("unwound"),
        "{text}"
    );
}

#[test]
#[ignore = "leaves green threads"]
fn an_os_thread_ends_with_waiting_green_threads() {
    std::thread::spawn(|| {
        for wait in [|| sleep(Duration::from_secs(3600)), thread::park] {
            spawn_n(move || {
                let _logs = LogsOnDrop;
                wait();
            });
        }
        drop(evy_runtime::spawn_after(Duration::from_secs(3600), || ()));
        yield_now();
    })
    .join()
    .unwrap();
}

#[test]
fn a_green_thread_that_another_os_thread_has_woken_is_reported_at_the_end_of_its_own() {
    let (output, text) = crash("crash::an_os_thread_ends_with_a_woken_green_thread");
    assert!(output.status.success(), "{text}");
    assert!(text.contains("ended with 1 live green thread"), "{text}");
}

#[test]
#[ignore = "leaves a green thread"]
fn an_os_thread_ends_with_a_woken_green_thread() {
    std::thread::spawn(|| {
        let waits = evy_runtime::spawn(thread::park);
        yield_now();
        let unparker = waits.thread().unparker();
        std::thread::spawn(move || unparker.unpark())
            .join()
            .unwrap();
    })
    .join()
    .unwrap();
}

/// Whether any green threads are ready or not makes no difference when `main` returns.
#[test]
fn nothing_is_reported_when_main_returns() {
    let (output, text) = crash("crash::the_process_exits_with_ready_green_threads");
    assert_eq!(output.status.code(), Some(5), "{text}");
    assert!(!text.contains("evy:"), "{text}");
}

#[test]
#[ignore = "ends the process"]
fn the_process_exits_with_ready_green_threads() {
    spawn_n(|| eprintln!("ran"));
    // Like a return of `main`, this runs the destructors of thread locals.
    std::process::exit(5);
}

/// The thread local is first used before evy, so its destructor runs late.
#[test]
fn a_thread_local_destructor_that_sleeps_leaves_no_scheduler_behind() {
    let (output, text) = crash("crash::many_thread_local_destructors_sleep");
    assert!(output.status.success(), "{text}");
}

#[test]
#[ignore = "counts the descriptors of the process"]
fn many_thread_local_destructors_sleep() {
    struct SleepsOnDrop;
    impl Drop for SleepsOnDrop {
        fn drop(&mut self) {
            sleep(Duration::from_micros(1));
        }
    }
    thread_local! {
        static SLEEPS: SleepsOnDrop = const { SleepsOnDrop };
    }
    let descriptors = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let before = descriptors();
    for _ in 0..100 {
        std::thread::spawn(|| {
            SLEEPS.with(|_| ());
            yield_now();
        })
        .join()
        .unwrap();
    }
    assert!(descriptors() < before + 100);
}

/// An exit of the process runs the destructors of thread locals, while the root green thread is
/// still linked in the queue that it waits for.
#[test]
fn an_exit_in_a_panic_hook_leaves_the_scheduler_to_later_destructors() {
    let (output, text) = crash("crash::a_panic_hook_exits_the_process");
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("put in a destructor"), "{text}");
}

#[test]
#[ignore = "ends the process"]
fn a_panic_hook_exits_the_process() {
    struct PutsOnDrop(evy_runtime::Queue<u32>);
    impl Drop for PutsOnDrop {
        fn drop(&mut self) {
            self.0.put(1);
            // Nothing is freed, so the memory of the root green thread cannot have been reused.
            assert_eq!(thread::current().id(), ROOT.get().unwrap());
            eprintln!("put in a destructor");
        }
    }
    thread_local! {
        static PUTS: OnceCell<PutsOnDrop> = const { OnceCell::new() };
        static ROOT: Cell<Option<thread::ThreadId>> = const { Cell::new(None) };
    }
    let queue = evy_runtime::Queue::unbounded();
    // Used before evy is, so destroyed after the locals of the root green thread.
    PUTS.with(|puts| assert!(puts.set(PutsOnDrop(queue.clone())).is_ok()));
    ROOT.set(Some(thread::current().id()));
    std::panic::set_hook(Box::new(|_| std::process::exit(3)));
    let _item = queue.get();
}

#[test]
fn a_sleep_without_end_is_no_deadlock() {
    let (output, text) = crash("crash::a_root_green_thread_sleeps_without_end");
    assert_eq!(output.status.code(), Some(6), "{text}");
    assert!(!text.contains("deadlock"), "{text}");
}

#[test]
#[ignore = "ends the process"]
fn a_root_green_thread_sleeps_without_end() {
    #[expect(
        clippy::disallowed_methods,
        reason = "no other green thread runs there"
    )]
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(100));
        std::process::exit(6);
    });
    spawn_n(thread::park);
    sleep(Duration::MAX);
}

#[test]
fn exit_on_a_green_thread_ends_the_process_without_a_report() {
    let (output, text) = crash("crash::a_green_thread_exits_the_process");
    assert_eq!(output.status.code(), Some(7), "{text}");
    assert!(!text.contains("evy:"), "{text}");
}

#[test]
#[ignore = "ends the process"]
fn a_green_thread_exits_the_process() {
    spawn_n(|| std::process::exit(7));
    yield_now();
}

/// Returns the folder of the OS thread named `name` of this process, if there is one.
#[cfg(target_os = "linux")]
fn os_thread(name: &str) -> Option<PathBuf> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the system has /proc");
    tasks.flatten().map(|task| task.path()).find(|task| {
        let comm = std::fs::read_to_string(task.join("comm"));
        comm.is_ok_and(|comm| comm.trim() == name)
    })
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "looks for the OS threads of its process"]
#[expect(
    clippy::disallowed_methods,
    reason = "it keeps its OS thread out of evy"
)]
fn waits_and_then_computes() {
    // A machine that interrupts this OS thread for long makes it look busy, so there are several tries.
    let waits = || {
        sleep(Duration::from_millis(5));
        yield_now();
        os_thread("evy-ticker").is_none()
    };
    let has_waited = (0..20).take_while(|_| waits()).count();
    assert!(has_waited > 0, "a single wait has started the ticker");
    let start = lowlevel::now();
    while lowlevel::now() - start < Duration::from_millis(20) {
        yield_now();
    }
    let ticker = os_thread("evy-ticker").expect("the computation has started it");
    // The ticker keeps no descriptor open, so the kernel counts no references for it.
    if let Ok(mut descriptors) = std::fs::read_dir(ticker.join("fd")) {
        assert!(descriptors.next().is_none());
    }
    // This OS thread leaves evy, so the ticker sleeps after a while.
    let switches = || {
        let status = std::fs::read_to_string(ticker.join("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary"));
        line.unwrap().split_whitespace().last().unwrap().parse()
    };
    let mut counts = [0u64; 2];
    std::thread::sleep(Duration::from_secs(1));
    counts[0] = switches().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    counts[1] = switches().unwrap();
    assert!(counts[1] <= counts[0] + 2, "{counts:?}");
    // It wakes again when it is needed.
    let start = lowlevel::now();
    while lowlevel::now() - start < Duration::from_millis(100) {
        yield_now();
    }
    assert!(switches().unwrap() > counts[1] + 2);
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_that_only_waits_has_no_ticker() {
    // An emulator is so slow that a short computation looks long.
    if is_emulated() {
        return;
    }
    let (output, text) = crash("crash::waits_and_then_computes");
    assert!(output.status.success(), "{text}");
}
