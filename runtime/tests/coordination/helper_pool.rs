//! `HelperPool`: calls on helper OS threads, which are shared, limited and given up.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use evy_runtime::lowlevel::{HelperPool, WaitReason};
use evy_runtime::thread::JoinHandle;
use evy_runtime::{sleep, spawn, timeout};
use evy_test_support::{virtually, within};
use std::io::{Error, ErrorKind, Result};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(10);
const REASON: WaitReason = WaitReason::Unblock;

/// Declares a pool of which the calls wait until the test lets them return.
macro_rules! held_pool {
    ($pool:ident, $calls:ident, $awaited:expr, $running:expr) => {
        static $calls: Mutex<Vec<(String, Sender<Result<usize>>)>> = Mutex::new(Vec::new());
        static $pool: HelperPool<usize> = HelperPool::new($awaited, $running, |key| {
            let (answer, answered) = channel();
            $calls.lock().unwrap().push((key.to_owned(), answer));
            answered.recv().unwrap()
        });
    };
}

type Calls = Mutex<Vec<(String, Sender<Result<usize>>)>>;

fn spawn_calls(
    pool: &'static HelperPool<usize>,
    keys: std::ops::Range<usize>,
) -> Vec<JoinHandle<Result<usize>>> {
    let call = |n: usize| spawn(move || pool.call(&n.to_string(), REASON));
    // Each begins before the next is there. A turn that lasts long would otherwise change their order.
    let begin = |caller: JoinHandle<Result<usize>>| {
        sleep(Duration::from_millis(1));
        caller
    };
    keys.map(call).map(begin).collect()
}

/// Waits until `count` calls are running, and returns their keys.
fn running(calls: &Calls, count: usize) -> Vec<String> {
    while calls.lock().unwrap().len() < count {
        sleep(Duration::from_millis(1));
    }
    // A call too many would begin by then.
    sleep(SHORT);
    let calls = calls.lock().unwrap();
    let mut keys: Vec<_> = calls.iter().map(|(key, _)| key.clone()).collect();
    keys.sort_by_key(|key| key.parse::<usize>().unwrap());
    keys
}

fn answer(calls: &Calls, key: &str) {
    let mut calls = calls.lock().unwrap();
    let at = calls.iter().position(|(running, _)| running == key);
    let (_, answer) = calls.remove(at.unwrap());
    answer.send(Ok(key.parse().unwrap())).unwrap();
}

#[test]
fn calls_with_the_same_key_are_shared_while_they_run() {
    within(|| {
        held_pool!(POOL, CALLS, 4, 8);
        let callers: Vec<_> = (0..3).flat_map(|_| spawn_calls(&POOL, 7..8)).collect();
        assert_eq!(running(&CALLS, 1), ["7"]);
        answer(&CALLS, "7");
        for caller in callers {
            assert_eq!(caller.join().unwrap().unwrap(), 7);
        }
        let again = spawn_calls(&POOL, 7..8);
        assert_eq!(running(&CALLS, 1), ["7"]);
        answer(&CALLS, "7");
        assert!(again.into_iter().all(|caller| caller.join().is_ok()));
    });
}

#[test]
fn calls_beyond_the_limit_wait_in_fifo_order() {
    within(|| {
        held_pool!(POOL, CALLS, 2, 8);
        let callers = spawn_calls(&POOL, 0..4);
        assert_eq!(running(&CALLS, 2), ["0", "1"]);
        answer(&CALLS, "1");
        assert_eq!(running(&CALLS, 2), ["0", "2"]);
        for key in ["0", "2"] {
            answer(&CALLS, key);
        }
        assert_eq!(running(&CALLS, 1), ["3"]);
        answer(&CALLS, "3");
        for (n, caller) in callers.into_iter().enumerate() {
            assert_eq!(caller.join().unwrap().unwrap(), n);
        }
    });
}

#[test]
fn a_call_given_up_does_not_count_against_the_others_up_to_the_total_limit() {
    within(|| {
        held_pool!(POOL, CALLS, 2, 3);
        let given_up = spawn_calls(&POOL, 0..2);
        assert_eq!(running(&CALLS, 2), ["0", "1"]);
        let others = spawn_calls(&POOL, 2..4);
        sleep(SHORT);
        for caller in given_up {
            caller.kill();
        }
        assert_eq!(running(&CALLS, 3), ["0", "1", "2"]);
        answer(&CALLS, "0");
        assert_eq!(running(&CALLS, 3), ["1", "2", "3"]);
        for key in ["1", "2", "3"] {
            answer(&CALLS, key);
        }
        for (n, caller) in others.into_iter().enumerate() {
            assert_eq!(caller.join().unwrap().unwrap(), n + 2);
        }
    });
}

#[test]
fn a_call_given_up_is_joined_by_a_later_caller() {
    within(|| {
        held_pool!(POOL, CALLS, 1, 2);
        for caller in spawn_calls(&POOL, 0..1) {
            running(&CALLS, 1);
            caller.kill();
        }
        let later = spawn_calls(&POOL, 0..1);
        assert_eq!(running(&CALLS, 1), ["0"]);
        answer(&CALLS, "0");
        assert!(
            later
                .into_iter()
                .all(|caller| caller.join().unwrap().is_ok())
        );
    });
}

#[test]
fn a_queued_call_without_waiters_never_starts() {
    within(|| {
        held_pool!(POOL, CALLS, 1, 2);
        let first = spawn_calls(&POOL, 0..1);
        assert_eq!(running(&CALLS, 1), ["0"]);
        assert!(timeout(SHORT, || POOL.call("1", REASON)).is_err());
        let third = spawn_calls(&POOL, 2..3);
        answer(&CALLS, "0");
        assert_eq!(running(&CALLS, 1), ["2"]);
        answer(&CALLS, "2");
        for caller in first.into_iter().chain(third) {
            caller.join().unwrap().unwrap();
        }
    });
}

#[test]
fn every_waiter_gets_the_error_and_a_panic_is_an_error() {
    within(|| {
        static POOL: HelperPool<()> = HelperPool::new(2, 2, |key| match key {
            "os" => Err(Error::from_raw_os_error(libc::EACCES)),
            "text" => Err(Error::new(ErrorKind::NotFound, "no such thing")),
            _ => panic!("no such key"),
        });
        let error = |key: &str| POOL.call(key, REASON).unwrap_err();
        assert_eq!(error("os").raw_os_error(), Some(libc::EACCES));
        let text = error("text");
        let expected = (ErrorKind::NotFound, "no such thing".to_owned());
        assert_eq!((text.kind(), text.to_string()), expected);
        assert_eq!(error("panic").kind(), ErrorKind::Other);
    });
}

#[test]
fn a_call_is_not_cut_short_by_a_paused_clock() {
    static POOL: HelperPool<()> = HelperPool::new(1, 1, |_| {
        let (_held, never): (Sender<()>, Receiver<()>) = channel();
        never.recv_timeout(SHORT).ok();
        Ok(())
    });
    virtually(|| {
        let hour = Duration::from_secs(3600);
        assert!(timeout(hour, || POOL.call("", REASON)).is_ok());
    });
}
