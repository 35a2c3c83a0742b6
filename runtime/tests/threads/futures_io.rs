//! Tests of futures that read and write descriptors inside of `block_on`.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use evy_runtime::io::{Direction, Green, Sharing, Timeout, pipe};
use evy_runtime::thread::JoinHandle;
use evy_runtime::{block_on, sleep, spawn, spawn_n, test, timeout, yield_now};
use evy_test_support::within;
use futures_lite::future::{or, poll_once, yield_now as yield_future, zip};
use futures_lite::{AsyncReadExt, AsyncWriteExt};

const SOON: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(20);

type Socket = Green<UnixStream>;

fn pair() -> (Socket, Socket) {
    let (near, far) = UnixStream::pair().unwrap();
    (Green::new(near).unwrap(), Green::new(far).unwrap())
}

/// Blocking calls. Their names are also those of async methods, so the traits are imported only here.
mod blocking {
    use std::io::{PipeWriter, Read, Write};
    use std::os::unix::net::UnixStream;

    use super::Socket;

    pub(super) fn write(mut socket: &Socket, bytes: &[u8]) {
        socket.write_all(bytes).unwrap();
    }

    pub(super) fn write_pipe(mut pipe: PipeWriter, bytes: &[u8]) {
        pipe.write_all(bytes).unwrap();
    }

    pub(super) fn read(mut socket: &Socket) -> std::io::Result<usize> {
        socket.read(&mut [0])
    }

    pub(super) fn read_to_end(mut socket: &Socket) -> Vec<u8> {
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).unwrap();
        rest
    }

    /// Reads a byte, for `with_io` and `poll_io`.
    pub(super) fn read_byte(mut socket: &UnixStream) -> std::io::Result<usize> {
        socket.read(&mut [0])
    }
}

fn join_in_time<T>(handle: JoinHandle<T>) -> T {
    timeout(LIMIT, || handle.join()).expect("woken").unwrap()
}

fn block_on_in_time<F: Future>(future: F) -> F::Output {
    timeout(LIMIT, || block_on(future)).expect("the future is woken")
}

#[test]
fn a_future_reads_what_a_green_thread_writes_later() {
    within(|| {
        let (mut near, far) = pair();
        let others = Rc::new(Cell::new(0));
        let counted = Rc::clone(&others);
        spawn_n(move || {
            for _ in 0..10 {
                sleep(Duration::from_millis(1));
                counted.set(counted.get() + 1);
            }
            blocking::write(&far, b"later");
        });
        let mut text = String::new();
        let read = block_on_in_time(near.read_to_string(&mut text)).unwrap();
        assert_eq!((read, text.as_str(), others.get()), (5, "later", 10));
    });
}

/// Both sides write more than fits before they read anything, so one direction alone gets stuck.
#[test]
fn both_directions_of_several_descriptors_are_joined_in_one_block_on() {
    const LENGTH: usize = 1 << 20;
    async fn exchange(socket: &Socket, number: u8) {
        let (mut reads, mut writes) = (socket, socket);
        let sent = vec![number; LENGTH];
        let mut received = vec![0; LENGTH];
        let (read, written) = zip(reads.read_exact(&mut received), writes.write_all(&sent)).await;
        read.and(written).unwrap();
        assert!(received.iter().all(|byte| *byte == number ^ 1));
    }
    within(|| {
        let ((a, b), (c, d)) = (pair(), pair());
        let first = zip(exchange(&a, 2), exchange(&b, 3));
        let second = zip(exchange(&c, 4), exchange(&d, 5));
        block_on_in_time(zip(first, second));
    });
}

#[test]
fn the_first_of_two_futures_wins_and_the_other_descriptor_stays_usable() {
    within(|| {
        let ((first, _first_peer), (mut second, second_peer)) = (pair(), pair());
        let first = Rc::new(first);
        spawn_n(move || {
            sleep(Duration::from_millis(5));
            blocking::write(&second_peer, b"2");
            sleep(SOON);
            drop(second_peer);
        });
        let mut bytes = ([0], [0]);
        let mut reads_first = &*first;
        let won = block_on_in_time(or(
            async { reads_first.read(&mut bytes.0).await.map(|n| (1, n)) },
            async { second.read(&mut bytes.1).await.map(|n| (2, n)) },
        ));
        assert_eq!(won.unwrap(), (2, 1));
        // The read that was given up does not count as a reader any more.
        let reader = Rc::clone(&first);
        let late = spawn(move || timeout(SOON, || blocking::read(&reader)).is_err());
        assert!(join_in_time(late));
        let rest = block_on_in_time(second.read(&mut bytes.1));
        assert_eq!(rest.unwrap(), 0);
    });
}

/// The green thread that is parked in `block_on` is woken for a future that does not exist any more.
#[test]
fn a_future_that_was_dropped_passes_its_event_to_the_next_reader() {
    within(|| {
        let (near, far) = pair();
        let near = Rc::new(near);
        let abandons = Rc::clone(&near);
        let holder = spawn(move || {
            block_on(async {
                let mut socket = &*abandons;
                assert!(poll_once(socket.read(&mut [0])).await.is_none());
                std::future::pending::<()>().await;
            });
        });
        test::wait_all_parked();
        let reader = spawn(move || {
            let (sharing, timeout) = (Sharing::Shared, Timeout::Never);
            near.with_io(
                Direction::Read,
                sharing,
                timeout,
                blocking::read_byte,
                |_| false,
            )
        });
        test::wait_all_parked();
        blocking::write(&far, b"x");
        assert_eq!(join_in_time(reader).unwrap(), 1);
        holder.kill();
    });
}

/// Counts the calls of a waker.
#[derive(Default)]
struct Calls(AtomicUsize);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn each_wake_up_reaches_the_waker_of_the_last_poll() {
    within(|| {
        let (near, far) = pair();
        let calls: [Arc<Calls>; 2] = Default::default();
        let count = |n: usize| calls[n].0.load(Ordering::Relaxed);
        let poll = |n: usize| {
            let waker = Waker::from(Arc::clone(&calls[n]));
            let mut context = Context::from_waker(&waker);
            near.poll_io(&mut context, Direction::Read, blocking::read_byte)
        };
        block_on_in_time(async {
            assert!(poll(0).is_pending());
            assert!(poll(0).is_pending());
            assert_eq!((count(0), count(1)), (0, 0));
            // The one that is replaced may still wait, so it is woken and can poll again.
            assert!(poll(1).is_pending());
            assert_eq!((count(0), count(1)), (1, 0));
            blocking::write(&far, b"x");
            while count(1) == 0 {
                yield_future().await;
                yield_now();
            }
            assert!(matches!(poll(1), Poll::Ready(Ok(1))));
            assert_eq!((count(0), count(1)), (1, 1));
        });
    });
}

#[test]
fn a_future_outside_of_block_on_gets_an_error_that_says_so() {
    within(|| {
        let (mut near, far) = pair();
        let mut context = Context::from_waker(Waker::noop());
        let mut byte = [0];
        let mut read = pin!(near.read(&mut byte));
        let Poll::Ready(Err(error)) = read.as_mut().poll(&mut context) else {
            panic!("it cannot be woken here");
        };
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("`evy::block_on`"), "{error}");
        // What need not wait works everywhere.
        blocking::write(&far, b"x");
        let Poll::Ready(read) = read.as_mut().poll(&mut context) else {
            panic!("there is data");
        };
        assert_eq!(read.unwrap(), 1);
    });
}

#[test]
fn a_descriptor_that_another_os_thread_has_registered_wakes_a_future() {
    within(|| {
        let (near, far) = pair();
        assert!(timeout(SOON, || blocking::read(&near)).is_err());
        let elsewhere = std::thread::spawn(move || {
            let mut near = near;
            let mut bytes = [0; 8];
            let read = block_on_in_time(near.read(&mut bytes));
            read.unwrap()
        });
        sleep(SOON);
        blocking::write(&far, b"four");
        assert_eq!(elsewhere.join().unwrap(), 4);
    });
}

#[test]
fn a_shared_descriptor_and_a_pipe_wake_a_future() {
    within(|| {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut reader = Green::shared(reader).unwrap();
        let (mut output, mut input) = pipe().unwrap();
        let peer = std::thread::spawn(move || {
            sleep(SOON);
            blocking::write_pipe(writer, b"shared");
        });
        let copied = block_on_in_time(async {
            let mut bytes = [0; 64];
            let n = reader.read(&mut bytes).await.unwrap();
            let write = input.write_all(&bytes[..n]);
            let mut copied = vec![0; n];
            let (written, read) = zip(write, output.read_exact(&mut copied)).await;
            written.and(read).unwrap();
            copied
        });
        assert_eq!(copied, b"shared");
        peer.join().unwrap();
    });
}

#[test]
fn a_poll_that_parks_misses_no_event() {
    within(|| {
        let (mut near, far) = pair();
        let (mut other, other_far) = pair();
        let slow = async {
            // The event for `near` arrives during this wait of the green thread itself.
            blocking::write(&far, b"x");
            sleep(SOON);
            let mut other_byte = [0];
            blocking::write(&other_far, b"y");
            other.read(&mut other_byte).await.unwrap()
        };
        let mut byte = [0];
        let both = block_on_in_time(zip(near.read(&mut byte), slow));
        assert_eq!((both.0.unwrap(), both.1), (1, 1));
    });
}

/// Each read is interrupted, before it begins or while it is parked. What was read is never lost.
#[test]
fn a_fault_in_a_future_loses_no_byte() {
    const BYTES: usize = 6;
    let faults = test::inject_faults(|injector| {
        let (near, far) = pair();
        blocking::write(&far, &[7; BYTES]);
        let near = Rc::new(near);
        let received = Rc::new(Cell::new(0));
        let (reads, counted) = (Rc::clone(&near), Rc::clone(&received));
        let victim = injector.spawn(move || {
            for _ in 0..BYTES {
                block_on(poll_fn(|context| {
                    let polled = reads.poll_io(context, Direction::Read, blocking::read_byte);
                    counted.set(counted.get() + usize::from(polled.is_ready()));
                    polled
                }))
                .unwrap();
            }
        });
        victim.join().ok();
        drop(far);
        let rest = blocking::read_to_end(&near);
        assert_eq!(received.get() + rest.len(), BYTES);
    });
    assert!(faults >= BYTES, "{faults}");
}

#[test]
fn a_blocking_read_after_a_dropped_future_gets_the_event_itself() {
    within(|| {
        let (near, far) = pair();
        spawn_n(move || {
            for byte in [b"1", b"2"] {
                sleep(SOON);
                blocking::write(&far, byte);
            }
        });
        block_on_in_time(async {
            let mut reader = &near;
            assert!(poll_once(reader.read(&mut [0])).await.is_none());
            assert_eq!(blocking::read(&near).unwrap(), 1);
            assert!(poll_once(reader.read(&mut [0])).await.is_none());
            let (read, shared) = (Direction::Read, Sharing::Shared);
            let read = near.with_io(read, shared, Timeout::Never, blocking::read_byte, |_| false);
            assert_eq!(read.unwrap(), 1);
        });
    });
}

#[test]
fn a_green_thread_that_parks_inside_of_a_future_takes_no_event_from_others() {
    within(|| {
        let (near, far) = pair();
        let near = Rc::new(near);
        let shared = Rc::clone(&near);
        let (done, wait_for_done) = evy_runtime::sync::mpsc::channel();
        let waiting = spawn(move || {
            block_on_in_time(async {
                let read = async { poll_io_byte(&shared).await };
                assert!(poll_once(read).await.is_none());
                wait_for_done.recv().unwrap();
            });
        });
        yield_now();
        let reader = spawn(move || {
            let (read, shared) = (Direction::Read, Sharing::Shared);
            let read = near.with_io(read, shared, Timeout::Never, blocking::read_byte, |_| false);
            done.send(()).unwrap();
            read.unwrap()
        });
        yield_now();
        blocking::write(&far, b"!");
        assert_eq!(join_in_time(reader), 1);
        join_in_time(waiting);
    });
}

async fn poll_io_byte(socket: &Socket) -> std::io::Result<usize> {
    poll_fn(|context| socket.poll_io(context, Direction::Read, blocking::read_byte)).await
}

#[test]
fn a_killed_block_on_leaves_the_descriptor_usable() {
    within(|| {
        let (near, far) = pair();
        let near = Rc::new(near);
        for _ in 0..100 {
            let reads = Rc::clone(&near);
            let victim = spawn(move || {
                let mut socket = &*reads;
                block_on(socket.read(&mut [0])).unwrap();
            });
            yield_now();
            victim.kill();
        }
        let reader = spawn(move || blocking::read(&near));
        test::wait_all_parked();
        blocking::write(&far, b"x");
        assert_eq!(join_in_time(reader).unwrap(), 1);
    });
}

#[test]
fn many_tasks_of_an_executor_inside_of_block_on_echo() {
    const PAIRS: usize = 20;
    within(|| {
        let executor = Rc::new(Tasks::default());
        let sum = Rc::new(Cell::new(0));
        for n in 0..PAIRS {
            let (near, far) = pair();
            executor.add(async move {
                let (mut reads, mut writes) = (&far, &far);
                futures_lite::io::copy(&mut reads, &mut writes)
                    .await
                    .unwrap();
            });
            let sum = Rc::clone(&sum);
            executor.add(async move {
                let (mut reads, mut writes) = (&near, &near);
                for _ in 0..50 {
                    let mut byte = [0];
                    writes.write_all(&[n as u8]).await.unwrap();
                    reads.read_exact(&mut byte).await.unwrap();
                    sum.set(sum.get() + usize::from(byte[0]));
                }
                near.inner().shutdown(std::net::Shutdown::Write).unwrap();
            });
        }
        block_on_in_time(executor.run());
        assert_eq!(sum.get(), 50 * PAIRS * (PAIRS - 1) / 2);
    });
}

/// A small executor: each task has a waker of its own, and only those that were woken are polled.
#[derive(Default)]
struct Tasks(std::cell::RefCell<Vec<Task>>);

struct Task {
    future: std::pin::Pin<Box<dyn Future<Output = ()>>>,
    signal: Arc<Signal>,
}

#[derive(Default)]
struct Signal {
    woken: std::sync::atomic::AtomicBool,
    executor: std::sync::Mutex<Option<Waker>>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        if let Some(executor) = &*self.executor.lock().unwrap() {
            executor.wake_by_ref();
        }
    }
}

impl Tasks {
    fn add(&self, future: impl Future<Output = ()> + 'static) {
        let signal = Arc::new(Signal::default());
        signal.woken.store(true, Ordering::Relaxed);
        let future = Box::pin(future);
        self.0.borrow_mut().push(Task { future, signal });
    }

    async fn run(self: Rc<Self>) {
        poll_fn(|context| {
            self.0.borrow_mut().retain_mut(|task| {
                *task.signal.executor.lock().unwrap() = Some(context.waker().clone());
                if !task.signal.woken.swap(false, Ordering::Relaxed) {
                    return true;
                }
                let waker = Waker::from(Arc::clone(&task.signal));
                let mut context = Context::from_waker(&waker);
                task.future.as_mut().poll(&mut context).is_pending()
            });
            match self.0.borrow().is_empty() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}
