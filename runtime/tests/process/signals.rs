//! Tests of `signal`: each runs in a process of its own, because a signal concerns the whole process.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "these tests use OS threads")]

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use evy_runtime::io::Green;
use evy_runtime::signal::{
    SIGCHLD, SIGFPE, SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGSEGV, SIGSTOP, SIGTERM, SIGUSR1, SIGUSR2,
    Signals, ctrl_c,
};
use evy_runtime::{Queue, select, sleep, spawn, spawn_n, thread, timeout, yield_now};
use evy_test_support::{is_emulated, rerun_ignored, within};

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(50);

/// Runs an ignored test of this file in a process of its own. Returns how that ended.
fn end_of(name: &str) -> ExitStatus {
    let mut command = rerun_ignored(&format!("signals::{name}"));
    let output = command.env("RUST_BACKTRACE", "0").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    eprintln!("{text}");
    output.status
}

fn run(name: &str) {
    assert!(end_of(name).success());
}

/// Sends a signal to the calling OS thread. Its handler has returned when this returns.
fn raise(signal: i32) {
    // SAFETY: no requirements.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

/// Sends a signal to the process. The system chooses the OS thread.
fn send(signal: i32) {
    // SAFETY: no requirements.
    assert_eq!(unsafe { libc::kill(libc::getpid(), signal) }, 0);
}

#[test]
fn a_signal_is_received_as_soon_as_its_handler_has_returned() {
    run("receives_what_it_raises");
}

#[test]
#[ignore = "sends signals"]
fn receives_what_it_raises() {
    let signals = Signals::new([SIGUSR1, SIGUSR2, SIGUSR1]).unwrap();
    assert_eq!(signals.try_recv(), None);
    assert_eq!(signals.recv_timeout(Duration::from_millis(1)), None);
    for _ in 0..3 {
        raise(SIGUSR1);
    }
    raise(SIGUSR2);
    // One of each kind, and then the others: a storm of one does not hide another.
    assert_eq!(signals.try_recv(), Some(SIGUSR1));
    assert_eq!(signals.recv(), SIGUSR2);
    assert_eq!(signals.recv_timeout(LONG), Some(SIGUSR1));
    assert_eq!(signals.iter().next(), Some(SIGUSR1));
    assert_eq!(signals.try_recv(), None);
    raise(SIGUSR2);
    assert_eq!(signals.into_iter().next(), Some(SIGUSR2));
    // The numbers may also be borrowed.
    let numbers = vec![SIGHUP];
    let borrowed = Signals::new(&numbers).unwrap();
    assert_eq!(format!("{borrowed:?}"), format!("Signals([{SIGHUP}])"));
}

#[test]
fn a_waiting_receiver_is_woken_whatever_os_thread_the_signal_is_delivered_to() {
    run("receives_from_every_os_thread");
}

#[test]
#[ignore = "sends signals"]
fn receives_from_every_os_thread() {
    within(|| {
        let signals = Arc::new(Signals::new([SIGUSR1]).unwrap());
        let sender = |send: fn(i32)| {
            std::thread::spawn(move || {
                std::thread::sleep(SHORT);
                send(SIGUSR1);
            })
        };
        for send in [raise as fn(i32), send] {
            let sender = sender(send);
            assert_eq!(signals.recv(), SIGUSR1);
            sender.join().unwrap();
        }
        // The others run meanwhile.
        let count = Rc::new(std::cell::Cell::new(0));
        let other = Rc::clone(&count);
        spawn_n(move || other.set(1));
        let sender_2 = sender(send);
        assert_eq!(signals.recv(), SIGUSR1);
        assert_eq!(count.get(), 1);
        sender_2.join().unwrap();
        // The receiver may be an OS thread that has never used evy.
        let plain = std::thread::spawn(move || signals.recv());
        std::thread::sleep(SHORT);
        send(SIGUSR1);
        assert_eq!(plain.join().unwrap(), SIGUSR1);
    });
}

#[test]
fn each_instance_receives_every_signal() {
    run("receives_with_several_instances");
}

#[test]
#[ignore = "sends signals"]
fn receives_with_several_instances() {
    within(|| {
        let (first, second) = (
            Signals::new([SIGUSR1]).unwrap(),
            Signals::new([SIGUSR1, SIGUSR2]).unwrap(),
        );
        let (ready, is_ready) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || {
            let third = Signals::new([SIGUSR1]).unwrap();
            ready.send(()).unwrap();
            let green = spawn(move || (third.recv(), third.recv()));
            green.join().unwrap()
        });
        is_ready.recv().unwrap();
        raise(SIGUSR1);
        assert_eq!(first.recv(), SIGUSR1);
        assert_eq!(second.recv(), SIGUSR1);
        drop(first);
        raise(SIGUSR2);
        raise(SIGUSR1);
        let mut both = [second.recv(), second.recv()];
        both.sort_unstable();
        assert_eq!(both, [SIGUSR1.min(SIGUSR2), SIGUSR1.max(SIGUSR2)]);
        assert_eq!(other.join().unwrap(), (SIGUSR1, SIGUSR1));
    });
}

#[test]
fn after_the_last_drop_a_signal_ends_the_process_again() {
    assert_eq!(end_of("drops_and_raises").signal(), Some(SIGTERM));
}

#[test]
#[ignore = "ends the process"]
fn drops_and_raises() {
    for _ in 0..2 {
        let first = Signals::new([SIGTERM]).unwrap();
        let second = Signals::new([SIGTERM, SIGINT]).unwrap();
        drop(first);
        raise(SIGTERM);
        assert_eq!(second.recv(), SIGTERM);
        // What was not received does not end the process now.
        raise(SIGTERM);
    }
    raise(SIGTERM);
    unreachable!("SIGTERM has its former effect");
}

#[test]
fn a_signal_that_is_being_received_does_not_end_the_process_while_another_one_does() {
    assert_eq!(end_of("raises_another").signal(), Some(SIGUSR2));
}

#[test]
#[ignore = "ends the process"]
fn raises_another() {
    let _term = Signals::new([SIGTERM]).unwrap();
    // Not SIGHUP, which a program may have inherited as ignored.
    drop(Signals::new([SIGUSR2]).unwrap());
    raise(SIGTERM);
    raise(SIGUSR2);
    unreachable!("SIGUSR2 has its former effect");
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count_call(_: i32) {
    CALLS.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn the_former_action_is_kept_whatever_it_was() {
    run("restores_other_actions");
}

#[test]
#[ignore = "sends signals"]
fn restores_other_actions() {
    let handler: extern "C" fn(i32) = count_call;
    // SAFETY: the handler changes an atomic only.
    unsafe { libc::signal(SIGUSR1, handler as libc::sighandler_t) };
    let calls = || CALLS.load(Ordering::SeqCst);
    for round in 0..3 {
        let signals = Signals::new([SIGUSR1]).unwrap();
        raise(SIGUSR1);
        assert_eq!(signals.try_recv(), Some(SIGUSR1));
        assert_eq!(calls(), 2 * round + 1, "a handler of C is called too");
        drop(signals);
        raise(SIGUSR1);
        assert_eq!(calls(), 2 * round + 2);
    }
    // Rust ignores this one.
    let signals = Signals::new([SIGPIPE]).unwrap();
    raise(SIGPIPE);
    assert_eq!(signals.recv(), SIGPIPE);
    drop(signals);
    raise(SIGPIPE);
    // A handler that was installed meanwhile is not replaced.
    let signals = Signals::new([SIGUSR2]).unwrap();
    // SAFETY: as above.
    unsafe { libc::signal(SIGUSR2, handler as libc::sighandler_t) };
    drop(signals);
    let before = calls();
    raise(SIGUSR2);
    assert_eq!(calls(), before + 1);
}

#[test]
fn signals_that_cannot_be_received_are_invalid_input() {
    let forbidden = [
        SIGKILL,
        SIGSTOP,
        SIGSEGV,
        SIGFPE,
        libc::SIGILL,
        libc::SIGBUS,
    ];
    for signal in forbidden
        .into_iter()
        .chain([0, -1, 65, 1000, i32::MAX, i32::MIN])
    {
        let error = Signals::new([signal]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{signal}");
        assert!(error.to_string().contains(&signal.to_string()), "{error}");
    }
    // The others of a list that fails are given up.
    assert!(Signals::new([SIGHUP, SIGKILL]).is_err());
}

#[test]
fn a_receiver_that_is_killed_or_times_out_loses_nothing() {
    run("kills_receivers");
}

#[test]
#[ignore = "sends signals"]
fn kills_receivers() {
    within(|| {
        let signals = Rc::new(Signals::new([SIGUSR1]).unwrap());
        for by_select in [false, true] {
            let receive = move |signals: Rc<Signals>| match by_select {
                true => select! { signal(&signals) -> number => number },
                false => signals.recv(),
            };
            let waits = || {
                let signals = Rc::clone(&signals);
                spawn(move || receive(signals))
            };
            let (first, second) = (waits(), waits());
            yield_now();
            raise(SIGUSR1);
            // The first one is notified meanwhile, and killed before it runs.
            std::thread::sleep(SHORT);
            first.kill();
            assert_eq!(second.join().unwrap(), SIGUSR1);
            let expired = timeout(Duration::from_millis(1), || receive(Rc::clone(&signals)));
            assert!(expired.is_err());
            raise(SIGUSR1);
            assert_eq!(signals.recv_timeout(LONG), Some(SIGUSR1));
        }
    });
}

#[test]
fn nothing_is_lost_between_two_selects() {
    run("selects");
}

#[test]
#[ignore = "sends signals"]
fn selects() {
    within(|| {
        let signals = Signals::new([SIGUSR1, SIGUSR2]).unwrap();
        let queue = Queue::unbounded();
        raise(SIGUSR1);
        queue.put(7);
        raise(SIGUSR2);
        let mut seen = Vec::new();
        for _ in 0..3 {
            select! {
                signal(&signals) -> signal => seen.push(signal),
                get(&queue) -> item => seen.push(item),
            }
        }
        seen.sort_unstable();
        let mut expected = [7, SIGUSR1, SIGUSR2];
        expected.sort_unstable();
        assert_eq!(seen, expected);
        let sender = std::thread::spawn(|| {
            std::thread::sleep(SHORT);
            send(SIGUSR2);
        });
        let woken = select! {
            signal(&signals) -> signal => signal,
            get(&queue) -> item => item,
            after(LONG) => 0,
        };
        assert_eq!(woken, SIGUSR2);
        sender.join().unwrap();
        let none = select! {
            signal(&signals) => false,
            default => true,
        };
        assert!(none);
    });
}

#[test]
fn a_storm_of_signals_disturbs_neither_waits_nor_reads() {
    run("survives_a_storm");
}

#[test]
#[ignore = "sends signals"]
fn survives_a_storm() {
    within(|| {
        let signals = Signals::new([SIGUSR1, SIGUSR2]).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let storm = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                send(SIGUSR1);
            }
        });
        let (near, far) = UnixStream::pair().unwrap();
        let (mut near, mut far) = (Green::new(near).unwrap(), Green::new(far).unwrap());
        let echo = spawn(move || {
            let mut byte = [0];
            while far.read(&mut byte).unwrap() > 0 {
                far.write_all(&byte).unwrap();
            }
        });
        let file = std::fs::read("/proc/self/status").unwrap();
        for _ in 0..500 {
            near.write_all(b"x").unwrap();
            near.read_exact(&mut [0]).unwrap();
            sleep(Duration::from_micros(10));
            // A helper OS thread is interrupted too.
            assert!(
                !evy_runtime::unblock(|| std::fs::read("/proc/self/status").unwrap()).is_empty()
            );
        }
        assert!(!file.is_empty());
        drop(near);
        echo.join().unwrap();
        send(SIGUSR2);
        while signals.recv() != SIGUSR2 {}
        stop.store(true, Ordering::SeqCst);
        storm.join().unwrap();
        while signals.try_recv().is_some() {}
        raise(SIGUSR1);
        assert_eq!(signals.recv(), SIGUSR1);
    });
}

#[test]
fn a_program_that_only_waits_for_a_signal_is_not_deadlocked() {
    let mut child = rerun_ignored("signals::only_receives")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("ready") {
        line.clear();
        assert!(io::BufRead::read_line(&mut output, &mut line).unwrap() > 0);
    }
    std::thread::sleep(SHORT);
    // SAFETY: the child has not been waited for, so the number is its own.
    assert_eq!(unsafe { libc::kill(child.id() as i32, SIGTERM) }, 0);
    assert!(child.wait().unwrap().success());
}

#[test]
#[ignore = "waits for a signal"]
fn only_receives() {
    let signals = Signals::new([SIGTERM]).unwrap();
    println!("\nready");
    assert_eq!(signals.recv(), SIGTERM);
}

#[test]
fn ctrl_c_loses_nothing_between_two_calls() {
    run("waits_for_ctrl_c");
}

#[test]
#[ignore = "sends signals"]
fn waits_for_ctrl_c() {
    within(|| {
        let first = Queue::unbounded();
        let count = first.clone();
        let counts = spawn(move || {
            loop {
                ctrl_c().unwrap();
                count.put(());
                // The next one comes while this green thread does something else.
                sleep(Duration::from_millis(1));
            }
        });
        let once = spawn(|| ctrl_c().unwrap());
        evy_runtime::test::wait_all_parked();
        for _ in 0..3 {
            raise(SIGINT);
        }
        for _ in 0..3 {
            assert!(first.get_timeout(LONG).is_some());
        }
        once.join().unwrap();
        // A green thread that has not called it before waits for the next one.
        let expired = timeout(Duration::from_millis(1), ctrl_c);
        assert!(expired.is_err());
        counts.kill();
        counts.join().unwrap_err();
        // It is installed for good.
        raise(SIGINT);
        ctrl_c().unwrap();
    });
}

#[test]
fn a_receiver_whose_os_thread_ends_passes_its_signal_on() {
    run("abandons_a_receiver");
}

#[test]
#[ignore = "sends signals"]
fn abandons_a_receiver() {
    within(|| {
        let signals = Arc::new(Signals::new([SIGUSR1]).unwrap());
        let theirs = signals.clone();
        let os_thread = std::thread::spawn(move || {
            spawn_n(move || {
                theirs.recv();
            });
            yield_now();
        });
        os_thread.join().unwrap();
        raise(SIGUSR1);
        assert_eq!(signals.recv_timeout(LONG), Some(SIGUSR1));
    });
}

#[test]
fn the_signals_of_a_child_are_its_own() {
    if !is_emulated() {
        run("forks");
    }
}

#[test]
#[ignore = "forks"]
fn forks() {
    let signals = Signals::new([SIGUSR1, SIGCHLD]).unwrap();
    // SAFETY: the child runs on the stack of the caller only, and takes no lock.
    let child = unsafe { libc::fork() };
    if child == 0 {
        raise(SIGUSR1);
        let refused = Signals::new([SIGUSR2]).unwrap_err().kind() == io::ErrorKind::Unsupported;
        let nothing = signals.try_recv().is_none();
        drop(signals);
        // SAFETY: ends the process, and nothing else.
        unsafe { libc::_exit(if refused && nothing { 7 } else { 8 }) };
    }
    let mut status = 0;
    // SAFETY: the pointer is valid, and the child belongs to this process.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } != child {}
    assert_eq!(libc::WEXITSTATUS(status), 7);
    assert_eq!(signals.recv_timeout(LONG), Some(SIGCHLD));
    assert_eq!(signals.recv_timeout(SHORT), None);
    raise(SIGUSR1);
    assert_eq!(signals.recv(), SIGUSR1);
}

#[test]
fn a_program_that_a_child_executes_has_the_usual_signals() {
    run("executes");
}

#[test]
#[ignore = "sends signals"]
fn executes() {
    let _signals = Signals::new([SIGTERM]).unwrap();
    let mut child = std::process::Command::new("sleep")
        .arg("100")
        .spawn()
        .unwrap();
    std::thread::sleep(SHORT);
    // SAFETY: the child has not been waited for, so the number is its own.
    unsafe { libc::kill(child.id() as i32, SIGTERM) };
    assert_eq!(child.wait().unwrap().signal(), Some(SIGTERM));
}

#[test]
fn a_handler_of_another_library_stays_if_it_was_there_first() {
    run("shares_the_registry");
}

#[test]
#[ignore = "sends signals"]
fn shares_the_registry() {
    let count = || {
        CALLS.fetch_add(1, Ordering::SeqCst);
    };
    // SAFETY: the handler changes an atomic only.
    unsafe { signal_hook_registry::register(SIGUSR1, count) }.unwrap();
    for _ in 0..2 {
        let signals = Signals::new([SIGUSR1]).unwrap();
        raise(SIGUSR1);
        assert_eq!(signals.recv(), SIGUSR1);
    }
    raise(SIGUSR1);
    assert_eq!(CALLS.load(Ordering::SeqCst), 3);
}

#[test]
fn green_threads_of_two_os_threads_share_an_instance() {
    run("shares_an_instance");
}

#[test]
#[ignore = "sends signals"]
fn shares_an_instance() {
    within(|| {
        let signals = Arc::new(Signals::new([SIGUSR1]).unwrap());
        let received = Arc::new(AtomicUsize::new(0));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let (signals, received) = (signals.clone(), received.clone());
                std::thread::spawn(move || {
                    thread::scope(|scope| {
                        for _ in 0..2 {
                            scope.spawn(|| {
                                while signals.recv_timeout(Duration::from_millis(500)).is_some() {
                                    received.fetch_add(1, Ordering::SeqCst);
                                }
                            });
                        }
                    });
                })
            })
            .collect();
        for _ in 0..1000 {
            raise(SIGUSR1);
        }
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(received.load(Ordering::SeqCst), 1000);
    });
}

#[test]
fn a_signal_needs_no_room_on_the_stack_of_a_green_thread() {
    run("raises_on_a_full_stack");
}

#[test]
#[ignore = "sends signals"]
fn raises_on_a_full_stack() {
    /// Raises signals at each depth, and returns the address that each handler has seen.
    fn descend(depth: usize) -> Vec<(usize, usize)> {
        let here = [depth; 8];
        HANDLER.store(0, Ordering::SeqCst);
        raise(SIGUSR1);
        let own = std::hint::black_box(here.as_ptr().addr());
        let seen = HANDLER.load(Ordering::SeqCst);
        let mut deeper = match depth {
            0 => Vec::new(),
            _ => descend(depth - 1),
        };
        deeper.push((own, seen));
        deeper
    }
    static HANDLER: AtomicUsize = AtomicUsize::new(0);
    let signals = Signals::new([SIGUSR1]).unwrap();
    let note = || {
        let local = 0u8;
        HANDLER.store(
            std::hint::black_box(&raw const local).addr(),
            Ordering::SeqCst,
        );
    };
    // SAFETY: the handler changes an atomic only.
    unsafe { signal_hook_registry::register(SIGUSR1, note) }.unwrap();
    within(move || {
        let size = 64 << 10;
        let green = thread::Builder::new().stack_size(size);
        let all = green.spawn(|| descend(10)).unwrap().join().unwrap();
        for (own, seen) in all {
            assert!(own.abs_diff(seen) > size, "{own:x} {seen:x}");
        }
        assert_eq!(signals.recv(), SIGUSR1);
    });
}
