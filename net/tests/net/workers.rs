//! `Workers`: several OS threads that serve together, and stop in order.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the clients are on OS threads of their own, and a failed helper is a failed test"
)]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream as Client};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use evy_net::unix::{UnixListener, UnixStream};
use evy_net::{
    Server, Stopped, TcpStream, Worker, WorkerListeners, Workers, WorkersBuilder, WorkersHandle,
    serve_each, serve_on,
};
use evy_runtime::{shield, sleep};
use evy_test_support::{shares_thread_locals, within};

const SHORT: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_secs(30);

fn start(threads: usize) -> Workers {
    Workers::builder().threads(threads).start(|_| ()).unwrap()
}

/// A handler that sends the name of its OS thread.
fn name_of_worker() -> impl Fn(TcpStream, SocketAddr) -> io::Result<()> {
    |mut client, _| client.write_all(thread::current().name().unwrap_or_default().as_bytes())
}

/// A handler that answers one byte after a time.
fn answer_after(time: Duration) -> impl Fn(TcpStream, SocketAddr) -> io::Result<()> {
    move |mut client, _| {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        sleep(time);
        client.write_all(&byte)
    }
}

/// A handler that blocks its OS thread after the first byte.
fn block_for(time: Duration) -> impl Fn(TcpStream, SocketAddr) -> io::Result<()> {
    move |mut client, _| {
        client.read_exact(&mut [0])?;
        thread::sleep(time);
        Ok(())
    }
}

/// A client whose reads fail instead of waiting for ever.
fn connect(addr: SocketAddr) -> Client {
    let client = Client::connect(addr).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client
}

/// A client that has sent a byte.
fn ask(addr: SocketAddr) -> Client {
    let mut client = connect(addr);
    client.write_all(b"x").unwrap();
    client
}

fn read_from(addr: SocketAddr) -> String {
    let mut text = String::new();
    connect(addr).read_to_string(&mut text).unwrap();
    text
}

/// Waits until the workers have this many connections.
fn wait_for_connections(handle: &WorkersHandle, connections: usize) {
    while handle.connections() != connections {
        thread::sleep(Duration::from_millis(1));
    }
}

fn is_clean(stopped: Stopped) -> bool {
    (stopped.left, stopped.unaccepted, stopped.blocked_workers) == (0, 0, 0)
}

fn refuses(addr: SocketAddr) -> bool {
    Client::connect(addr).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

fn spreads_over_all(builder: WorkersBuilder) {
    let workers = builder.threads(3).start(|_| ()).unwrap();
    let addr = serve_on(&workers, "127.0.0.1:0", name_of_worker).unwrap();
    assert_ne!(addr.port(), 0);
    let expected = ["evy-worker-0", "evy-worker-1", "evy-worker-2"];
    let mut names = BTreeSet::new();
    // The system spreads them as it likes.
    while names.len() < expected.len() {
        names.insert(read_from(addr));
    }
    assert!(names.iter().map(String::as_str).eq(expected));
    assert!(is_clean(workers.handle().stop(LONG)));
    assert!(refuses(addr));
}

#[test]
fn connections_spread_over_all_workers_which_share_the_port_that_the_system_chose() {
    // A green thread with an identity does not have the name of its OS thread.
    if !shares_thread_locals() {
        return;
    }
    within(|| spreads_over_all(Workers::builder()));
}

#[test]
fn workers_may_share_one_listener() {
    within(|| {
        let workers = Workers::builder().shared_listener(true).threads(2);
        let workers = workers.start(|_| ()).unwrap();
        let addr = serve_on(&workers, "127.0.0.1:0", || {
            block_for(Duration::from_secs(1))
        })
        .unwrap();
        let handle = workers.handle();
        let _blocked = ask(addr);
        wait_for_connections(&handle, 1);
        // The other worker accepts all others, although the first is busy.
        let others: Vec<_> = (0..20).map(|_| connect(addr)).collect();
        wait_for_connections(&handle, 21);
        drop(others);
        assert!(is_clean(handle.stop(LONG)));
        assert!(refuses(addr));
    });
}

#[test]
fn each_worker_makes_its_own_handler_which_need_not_be_send() {
    within(|| {
        let workers = start(2);
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let addr = serve_on(&workers, "127.0.0.1:0", move || {
            counter.fetch_add(1, Ordering::Relaxed);
            let count = Rc::new(Cell::new(0));
            move |mut client: TcpStream, _| {
                count.set(count.get() + 1);
                client.write_all(&[b'0' + count.get()])
            }
        });
        // All workers accept by now.
        assert_eq!(made.load(Ordering::Relaxed), 2);
        let addr = addr.unwrap();
        let mut answers: Vec<_> = (0..3).map(|_| read_from(addr)).collect();
        answers.sort();
        assert!(
            answers == ["1", "1", "2"] || answers == ["1", "2", "3"],
            "{answers:?}"
        );
        assert!(is_clean(workers.handle().stop(LONG)));
    });
}

#[test]
fn an_address_in_use_is_an_error_even_if_other_workers_use_it() {
    // A green thread with an identity does not have the name of its OS thread.
    if !shares_thread_locals() {
        return;
    }
    within(|| {
        let (one, other) = (start(2), start(2));
        let addr = serve_on(&one, "127.0.0.1:0", name_of_worker).unwrap();
        let error = serve_on(&other, addr, name_of_worker).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let error = evy_net::listen(addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        one.handle().stop(LONG);
        assert_eq!(serve_on(&other, addr, name_of_worker).unwrap(), addr);
        assert!(read_from(addr).starts_with("evy-worker-"));
        other.handle().stop(LONG);
    });
}

#[test]
fn a_factory_that_panics_is_an_error_and_leaves_nothing_behind() {
    within(|| {
        let workers = start(3);
        let count = AtomicUsize::new(0);
        let listeners = workers.listen("127.0.0.1:0").unwrap();
        let addr = listeners.local_addr();
        let error = serve_each(&workers, move |worker| {
            assert!(count.fetch_add(1, Ordering::Relaxed) < 2, "a test");
            Ok((Server::new(), listeners.on(&worker)?, name_of_worker()))
        });
        assert!(error.unwrap_err().to_string().contains("panicked"));
        while !refuses(addr) {
            thread::sleep(Duration::from_millis(1));
        }
        // The workers are not affected.
        let addr = serve_on(&workers, "127.0.0.1:0", name_of_worker).unwrap();
        read_from(addr);
        assert!(is_clean(workers.handle().stop(LONG)));
    });
}

#[test]
fn an_error_of_the_factory_is_returned() {
    within(|| {
        let workers = start(2);
        let listeners = workers.listen("127.0.0.1:0").unwrap();
        let error = serve_each(&workers, move |worker| {
            if worker.index() == 1 {
                return Err(io::Error::other("no database"));
            }
            Ok((Server::new(), listeners.on(&worker)?, name_of_worker()))
        });
        assert_eq!(error.unwrap_err().to_string(), "no database");
        assert!(is_clean(workers.handle().stop(LONG)));
    });
}

#[test]
fn any_listener_is_served_on_each_worker() {
    within(|| {
        let path = std::env::temp_dir().join(format!("evy-test-workers-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let workers = start(2);
        serve_each(&workers, move |worker: Worker| {
            let handler = move |mut client: UnixStream, _| {
                client.write_all(worker.index().to_string().as_bytes())
            };
            Ok((Server::new(), listener.try_clone()?, handler))
        })
        .unwrap();
        for _ in 0..20 {
            let mut text = String::new();
            let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
            client.read_to_string(&mut text).unwrap();
            assert!(text == "0" || text == "1", "{text}");
        }
        assert!(is_clean(workers.handle().stop(LONG)));
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn a_handler_that_panics_ends_its_connection_only() {
    within(|| {
        let workers = start(1);
        let addr = serve_on(&workers, "127.0.0.1:0", || {
            let is_first = Cell::new(true);
            move |mut client: TcpStream, _| {
                assert!(!is_first.replace(false), "a test");
                client.write_all(b"fine")
            }
        })
        .unwrap();
        assert_eq!(read_from(addr), "");
        assert_eq!(read_from(addr), "fine");
        assert!(is_clean(workers.handle().stop(LONG)));
    });
}

#[test]
fn a_worker_that_panics_is_replaced_and_its_queued_connections_are_served() {
    within(|| {
        let (fail, setups) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let workers = Workers::builder().threads(1).start({
            let (fail, setups) = (Arc::clone(&fail), Arc::clone(&setups));
            move |worker| {
                assert_eq!(worker.index(), 0);
                setups.fetch_add(1, Ordering::Relaxed);
                while !fail.load(Ordering::Relaxed) {
                    sleep(Duration::from_millis(1));
                }
                if setups.load(Ordering::Relaxed) == 1 {
                    // Meanwhile, the kernel queues connections.
                    thread::sleep(Duration::from_millis(300));
                    panic!("a test");
                }
            }
        });
        let workers = workers.unwrap();
        let addr = serve_on(&workers, "127.0.0.1:0", || answer_after(SHORT)).unwrap();
        let mut in_progress = ask(addr);
        wait_for_connections(&workers.handle(), 1);
        fail.store(true, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(50));
        let mut queued: Vec<_> = (0..50).map(|_| ask(addr)).collect();
        for client in queued.iter_mut().chain([&mut in_progress]) {
            client.read_exact(&mut [0]).unwrap();
        }
        while setups.load(Ordering::Relaxed) < 2 {
            thread::sleep(Duration::from_millis(1));
        }
        ask(addr).read_exact(&mut [0]).unwrap();
        assert!(is_clean(workers.handle().stop(LONG)));
        assert!(refuses(addr));
    });
}

#[test]
fn a_worker_that_always_panics_is_replaced_with_pauses_and_can_be_stopped() {
    // A green thread with an identity does not have the name of its OS thread.
    if !shares_thread_locals() {
        return;
    }
    within(|| {
        let setups = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&setups);
        let workers = Workers::builder().threads(1).start(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            panic!("a test");
        });
        let workers = workers.unwrap();
        let addr = serve_on(&workers, "127.0.0.1:0", name_of_worker).unwrap();
        assert_eq!(read_from(addr), "evy-worker-0");
        thread::sleep(Duration::from_millis(500));
        // The pauses are 5, 10, 20 ms and so on.
        assert!((2..20).contains(&setups.load(Ordering::Relaxed)));
        assert!(is_clean(workers.handle().stop(LONG)));
    });
}

#[test]
fn a_stop_waits_for_connections_and_refuses_others() {
    within(|| {
        let workers = start(2);
        let addr = serve_on(&workers, "127.0.0.1:0", || {
            answer_after(Duration::from_secs(1))
        });
        let addr = addr.unwrap();
        let handle = workers.handle();
        let mut clients: Vec<_> = (0..8).map(|_| ask(addr)).collect();
        wait_for_connections(&handle, 8);
        let stopping = thread::spawn({
            let handle = handle.clone();
            move || handle.stop(LONG)
        });
        while !refuses(addr) {
            thread::sleep(Duration::from_millis(1));
        }
        for client in &mut clients {
            client.read_exact(&mut [0]).unwrap();
        }
        assert!(is_clean(stopping.join().unwrap()));
        assert_eq!(handle.connections(), 0);
    });
}

#[test]
fn connections_are_killed_when_the_grace_is_over() {
    within(|| {
        let workers = start(2);
        let addr = serve_on(&workers, "127.0.0.1:0", || answer_after(LONG * 100)).unwrap();
        let mut client = ask(addr);
        wait_for_connections(&workers.handle(), 1);
        let start = Instant::now();
        assert!(is_clean(workers.handle().stop(SHORT)));
        assert!(start.elapsed() < LONG);
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
    });
}

#[test]
fn connections_that_cannot_be_killed_are_counted() {
    within(|| {
        let workers = start(2);
        let addr = serve_on(&workers, "127.0.0.1:0", || {
            |_client: TcpStream, _| shield(|| sleep(LONG * 100))
        });
        let _client = connect(addr.unwrap());
        wait_for_connections(&workers.handle(), 1);
        let stopped = workers.handle().stop(SHORT);
        assert_eq!((stopped.left, stopped.blocked_workers), (1, 0));
        assert_eq!(workers.handle().stop(SHORT), stopped);
    });
}

#[test]
fn a_stop_returns_at_its_deadline_although_a_worker_is_blocked() {
    within(|| {
        let workers = start(1);
        let blocked_for = Duration::from_secs(3);
        let addr = serve_on(&workers, "127.0.0.1:0", move || block_for(blocked_for)).unwrap();
        let handle = workers.handle();
        let start = Instant::now();
        let _blocked = ask(addr);
        wait_for_connections(&handle, 1);
        thread::sleep(Duration::from_millis(100));
        let mut queued: Vec<_> = (0..5).map(|_| ask(addr)).collect();
        let stopped = handle.stop(Duration::from_millis(100));
        assert!(start.elapsed() < blocked_for);
        assert_eq!(
            (stopped.left, stopped.unaccepted, stopped.blocked_workers),
            (1, 5, 1)
        );
        assert!(refuses(addr));
        for client in &mut queued {
            assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
        }
        // It ends when it is done.
        while handle.stop(Duration::ZERO).blocked_workers > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(workers.join().left, 0);
    });
}

/// A service of one worker, whose OS thread is blocked for the time, and its address.
fn blocked(time: Duration) -> (Workers, SocketAddr) {
    let workers = start(1);
    let addr = serve_on(&workers, "127.0.0.1:0", move || {
        let is_first = Cell::new(true);
        move |mut client: TcpStream, _| {
            let mut byte = [0];
            client.read_exact(&mut byte)?;
            if is_first.replace(false) {
                thread::sleep(time);
            }
            client.write_all(&byte)
        }
    });
    let addr = addr.unwrap();
    thread::spawn(move || ask(addr).read_exact(&mut [0]));
    wait_for_connections(&workers.handle(), 1);
    thread::sleep(Duration::from_millis(100));
    (workers, addr)
}

#[test]
fn what_the_kernel_has_queued_when_a_stop_begins_is_served() {
    within(|| {
        let (workers, addr) = blocked(Duration::from_millis(500));
        let mut queued: Vec<_> = (0..100).map(|_| ask(addr)).collect();
        assert!(is_clean(workers.handle().stop(LONG)));
        for client in &mut queued {
            client.read_exact(&mut [0]).unwrap();
        }
    });
}

/// Otherwise, a client could be connected while a worker closes its socket.
#[cfg(target_os = "linux")]
#[test]
fn no_connection_is_established_once_a_stop_has_begun() {
    within(|| {
        let (workers, addr) = blocked(Duration::from_secs(2));
        workers.handle().begin_stop(LONG);
        let late = Client::connect_timeout(&addr, Duration::from_millis(500));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(is_clean(workers.join()));
    });
}

fn loses_nothing(builder: WorkersBuilder) {
    let workers = builder.threads(2).start(|_| ()).unwrap();
    let addr = serve_on(&workers, "127.0.0.1:0", || answer_after(SHORT)).unwrap();
    let clients: Vec<_> = (0..6)
        .map(|_| {
            thread::spawn(move || {
                let mut answers = 0;
                // Each request has a connection of its own.
                while let Ok(mut client) = Client::connect(addr) {
                    client.set_read_timeout(Some(LONG)).unwrap();
                    client.write_all(b"x")?;
                    client.read_exact(&mut [0])?;
                    answers += 1;
                }
                io::Result::Ok(answers)
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(300));
    assert!(is_clean(workers.handle().stop(LONG)));
    for client in clients {
        assert!(client.join().unwrap().unwrap() > 0);
    }
}

#[test]
fn a_stop_under_load_loses_no_connection() {
    within(|| loses_nothing(Workers::builder()));
}

#[test]
fn a_stop_under_load_loses_no_connection_of_a_shared_listener() {
    within(|| loses_nothing(Workers::builder().shared_listener(true)));
}

#[test]
fn a_second_stop_shortens_the_first_and_both_return_the_same() {
    within(|| {
        let workers = start(2);
        let addr = serve_on(&workers, "127.0.0.1:0", || answer_after(LONG * 100)).unwrap();
        let _client = ask(addr);
        let handle = workers.handle();
        wait_for_connections(&handle, 1);
        let first = thread::spawn({
            let handle = handle.clone();
            move || handle.stop(Duration::MAX)
        });
        thread::sleep(Duration::from_millis(200));
        assert!(!first.is_finished());
        let second = handle.stop(SHORT);
        assert_eq!(first.join().unwrap(), second);
        assert!(is_clean(second));
        assert_eq!(handle.stop(Duration::ZERO), second);
        assert_eq!(workers.join(), second);
    });
}

#[test]
fn workers_that_were_stopped_serve_nothing_any_more() {
    within(|| {
        let workers = start(2);
        assert!(is_clean(workers.handle().stop(LONG)));
        assert!(workers.listen("127.0.0.1:0").is_err());
        let error = serve_on(&workers, "127.0.0.1:0", name_of_worker).unwrap_err();
        assert_eq!(error.to_string(), "the workers were stopped");
    });
}

#[test]
fn a_setup_may_stop_all_workers() {
    within(|| {
        let workers = Workers::builder().threads(4).start(|worker| {
            if worker.index() == 2 {
                worker.handle().begin_stop(Duration::ZERO);
            }
        });
        assert!(is_clean(workers.unwrap().join()));
    });
}

#[test]
fn a_stop_during_serve_on_ends_it_with_an_error() {
    within(|| {
        let workers = start(2);
        let handle = workers.handle();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            handle.stop(LONG);
        });
        // The handlers are never ready.
        let error = serve_on(&workers, "127.0.0.1:0", || {
            sleep(LONG * 100);
            name_of_worker()
        });
        assert!(error.is_err());
        assert!(is_clean(workers.join()));
    });
}

#[test]
fn a_green_thread_of_a_worker_may_stop_it() {
    within(|| {
        let workers = Workers::builder().threads(2).start(|worker| {
            if worker.index() == 0 {
                worker.handle().stop(LONG);
            }
        });
        assert!(is_clean(workers.unwrap().join()));
    });
}

#[test]
fn dropping_workers_leaves_them_running() {
    // A green thread with an identity does not have the name of its OS thread.
    if !shares_thread_locals() {
        return;
    }
    within(|| {
        let workers = start(2);
        let addr = serve_on(&workers, "127.0.0.1:0", name_of_worker).unwrap();
        let handle = workers.handle();
        drop(workers);
        assert!(read_from(addr).starts_with("evy-worker-"));
        assert!(is_clean(handle.stop(LONG)));
    });
}

#[test]
fn what_the_setup_leaves_running_is_ended_by_a_stop() {
    struct Ends(mpsc::Sender<usize>, usize);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.send(self.1).unwrap();
        }
    }
    within(|| {
        let (ended, ends) = mpsc::channel();
        let ended = Mutex::new(ended);
        let workers = Workers::builder().threads(2).start(move |worker| {
            let _ends = Ends(ended.lock().unwrap().clone(), worker.index());
            sleep(LONG * 100);
        });
        let workers = workers.unwrap();
        thread::sleep(Duration::from_millis(50));
        let start = Instant::now();
        assert!(is_clean(workers.handle().stop(LONG)));
        assert!(start.elapsed() < LONG);
        drop(workers);
        let mut ends: Vec<_> = ends.try_iter().collect();
        ends.sort();
        assert_eq!(ends, [0, 1]);
    });
}

#[test]
fn several_services_run_on_the_same_workers() {
    within(|| {
        let workers = start(2);
        let addrs = ["a", "b", "c"].map(|text| {
            let make = move || move |mut client: TcpStream, _| client.write_all(text.as_bytes());
            serve_on(&workers, "127.0.0.1:0", make).unwrap()
        });
        assert_eq!(addrs.map(read_from), ["a", "b", "c"]);
        assert!(is_clean(workers.handle().stop(LONG)));
        assert!(addrs.into_iter().all(refuses));
    });
}

#[test]
fn there_is_a_worker_for_each_cpu_by_default() {
    within(|| {
        let workers = Workers::builder().start(|_| ()).unwrap();
        let cpus = thread::available_parallelism().unwrap().get();
        assert_eq!(workers.threads(), cpus);
        assert!(is_clean(workers.handle().stop(LONG)));
    });
}

#[test]
#[should_panic(expected = "at least one worker")]
fn no_workers_are_refused() {
    let _builder = Workers::builder().threads(0);
}

#[test]
fn workers_and_their_handles_may_be_used_on_any_os_thread() {
    fn shared<T: Send + Sync + 'static>() {}
    fn cloned<T: Clone>() {}
    shared::<Workers>();
    shared::<Worker>();
    shared::<WorkersHandle>();
    shared::<WorkerListeners>();
    shared::<Stopped>();
    cloned::<WorkersHandle>();
    cloned::<Worker>();
}

/// Uses some 600 KiB of stack, more than a green thread has by default.
#[inline(never)]
fn recurse(depth: u32) -> u32 {
    let frame = std::hint::black_box([depth; 256]);
    match depth {
        0 => frame[0],
        _ => recurse(depth - 1) + frame[255].min(1),
    }
}

#[test]
fn handlers_of_workers_have_stacks_of_the_size_that_the_builder_or_their_server_sets() {
    fn deep(mut client: TcpStream, _addr: SocketAddr) -> io::Result<()> {
        write!(client, "{}", recurse(600))
    }
    within(|| {
        let builder = Workers::builder().threads(1).stack_size(2 << 20);
        let workers = builder.start(|_| ()).unwrap();
        let addr = serve_on(&workers, "127.0.0.1:0", || deep).unwrap();
        assert_eq!(read_from(addr), "600");
        workers.handle().stop(LONG);

        let builder = Workers::builder().threads(1).stack_size(1 << 15);
        let workers = builder.start(|_| ()).unwrap();
        let listeners = workers.listen("127.0.0.1:0").unwrap();
        let addr = listeners.local_addr();
        serve_each(&workers, move |worker| {
            let server = Server::new().stack_size(2 << 20);
            Ok((server, listeners.on(&worker)?, deep))
        })
        .unwrap();
        assert_eq!(read_from(addr), "600");
        workers.handle().stop(LONG);
    });
}
