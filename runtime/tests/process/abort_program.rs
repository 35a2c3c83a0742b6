//! A program that cannot unwind. `abort.rs` builds it, and runs one case of it for each test.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy::io::Green;
use evy::net;
use evy::pool::Pool;
use evy::process::Command;
use evy::sync::{Arc, LazyLock, Mutex, mpsc};
use evy::{GreenPool, Queue, Semaphore, shield, shutdown, sleep, spawn, spawn_n, thread, timeout};

const SHORT: Duration = Duration::from_millis(10);
const LONGER: Duration = Duration::from_millis(50);

fn main() {
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(60));
        eprintln!("the program hangs");
        std::process::exit(1);
    });
    match std::env::args().nth(1).unwrap().as_str() {
        "kill-infallible" => kill_infallible(),
        "kill-io" => kill_io(),
        "kill-unstarted" => kill_unstarted(),
        "kill-self" => kill_self(),
        "timeout-infallible" => timeout_infallible(),
        "timeout-io" => timeout_io(),
        "timeout-child" => timeout_child(),
        "shield" => shielded_io(),
        "scope" => scope(),
        "pool-jobs" => pool_jobs(),
        "pool-resource" => pool_resource(),
        "serve" => serve(),
        "copy" => copies(),
        "http-stop" => http_stop(),
        "workers-stop" => workers_stop(),
        "lazy" => lazy(),
        "lock" => lock(),
        "channel" => channel(),
        "shutdown" => shuts_down(),
        "panic" => drop(spawn(|| panic!("the reason")).join()),
        "panic-job" => {
            let pool = GreenPool::new(1);
            pool.spawn_n(|| panic!("the reason"));
            pool.wait_all();
        }
        "panic-handler" => panic_in_a_handler(),
        "panic-http-handler" => panic_in_an_http_handler(),
        "panic-http-body" => panic_in_the_body_of_a_request(),
        "http-client" => http_client(),
        "panic-worker" => panic_in_a_worker(),
        "deadlock" => thread::park(),
        other => panic!("there is no case {other}"),
    }
}

/// Returns a stream that receives no data, and its other end.
fn silent() -> (Green<std::io::PipeReader>, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    (Green::new(reader).unwrap(), writer)
}

fn kill_infallible() {
    let queue = Queue::unbounded();
    let items = queue.clone();
    let killed = spawn(move || items.get());
    sleep(SHORT);
    killed.kill();
    let killed = killed.join_timeout(SHORT).unwrap_err();
    queue.put(7);
    assert_eq!(killed.join().unwrap(), 7);
}

fn kill_io() {
    let (mut reader, _writer) = silent();
    let killed = spawn(move || {
        let first = reader.read(&mut [0]).unwrap_err();
        // The kill stays due, so later waits fail too.
        let second = reader.read(&mut [0]).unwrap_err();
        (first.kind(), second.kind())
    });
    sleep(SHORT);
    killed.kill();
    let kinds = killed.join().unwrap();
    assert_ne!(kinds.0, ErrorKind::Interrupted, "a caller would try again");
    assert_eq!(kinds.0, kinds.1);
}

fn kill_unstarted() {
    let dropped = Rc::new(Cell::new(false));
    struct SetOnDrop(Rc<Cell<bool>>);
    impl Drop for SetOnDrop {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let captured = SetOnDrop(Rc::clone(&dropped));
    let unstarted = spawn(move || {
        drop(captured);
        unreachable!()
    });
    unstarted.kill();
    assert!(dropped.get());
    assert!(unstarted.join().unwrap_err().is_killed());
    let with_error = spawn(|| ());
    with_error.kill_with("the error");
    let payload = with_error.join().unwrap_err().into_panic();
    assert_eq!(payload.downcast_ref(), Some(&"the error"));
}

fn kill_self() {
    let own = Rc::new(Cell::new(None));
    let handle = Rc::clone(&own);
    let result = Queue::unbounded();
    let done = result.clone();
    own.set(Some(spawn(move || {
        let own: thread::JoinHandle<()> = handle.take().unwrap();
        own.kill();
        sleep(SHORT);
        done.put("went on");
    })));
    assert_eq!(result.get(), "went on");
}

fn timeout_infallible() {
    let start = Instant::now();
    assert!(timeout(SHORT, || sleep(LONGER)).is_ok());
    assert!(start.elapsed() >= LONGER);
    let queue = Queue::unbounded();
    let putter = queue.clone();
    spawn_n(move || {
        sleep(LONGER);
        putter.put(1);
    });
    assert_eq!(timeout(SHORT, || queue.get()), Ok(1));
    // A wait that can fail by itself still does.
    assert_eq!(timeout(LONGER, || queue.get_timeout(SHORT)), Ok(None));
}

fn timeout_io() {
    let (mut reader, mut writer) = silent();
    let failed = timeout(SHORT, || reader.read(&mut [0]).is_err());
    assert_eq!(failed, Ok(true), "`timeout` returns what its closure returns");
    writer.write_all(b"x").unwrap();
    assert_eq!(reader.read(&mut [0]).unwrap(), 1);
}

fn timeout_child() {
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let waited = timeout(SHORT, || child.wait());
    assert!(matches!(waited, Ok(Err(_))), "{waited:?}");
    assert_eq!(child.try_wait().unwrap(), None);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None);
    // Neither of the two green threads that read goes on until the child ends.
    let start = Instant::now();
    let captured = timeout(SHORT, || Command::new("sleep").arg("5").output());
    assert!(matches!(captured, Ok(Err(_))), "{captured:?}");
    assert!(start.elapsed() < Duration::from_secs(4));
}

fn shielded_io() {
    let (mut reader, mut writer) = silent();
    spawn_n(move || {
        sleep(LONGER);
        writer.write_all(b"x").unwrap();
    });
    let read = timeout(SHORT, || shield(|| reader.read(&mut [0])));
    assert_eq!(read.unwrap().unwrap(), 1);
}

fn scope() {
    let finished = Cell::new(0);
    let total: i32 = evy::scope(|s| {
        let killed = s.spawn(|| {
            sleep(LONGER);
            finished.set(finished.get() + 1);
            1
        });
        let other = s.spawn(|| 2);
        evy::yield_now();
        killed.kill();
        let joined = killed.join().unwrap() + other.join().unwrap();
        s.spawn(|| {
            sleep(LONGER);
            finished.set(finished.get() + 1);
        });
        joined
    });
    assert_eq!((total, finished.get()), (3, 2));
}

fn pool_jobs() {
    let pool = GreenPool::new(1);
    let running = pool.spawn(|| {
        sleep(LONGER);
        7
    });
    let waits = pool.clone();
    let waiter = spawn(move || waits.spawn(|| 8).join().unwrap());
    sleep(SHORT);
    running.kill();
    assert_eq!(pool.running(), 1, "the killed job still has its slot");
    assert_eq!(running.join().unwrap(), 7);
    assert_eq!(waiter.join().unwrap(), 8);
    pool.wait_all();
    assert_eq!(pool.running(), 0);
}

fn pool_resource() {
    let pool = Rc::new(Pool::infallible(1, || 5));
    let Ok(only) = pool.get();
    let waits = Rc::clone(&pool);
    let waiter = spawn(move || timeout(SHORT, || waits.get().map(|resource| *resource)));
    sleep(LONGER);
    drop(only);
    assert_eq!(waiter.join().unwrap(), Ok(Ok(5)));
}

fn serve() {
    let listener = evy::listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let failed = Rc::new(Cell::new(0));
    let failures = Rc::clone(&failed);
    spawn_n(move || {
        let handler = move |mut client: evy::net::TcpStream, _| {
            let mut byte = [0];
            // The timeout of a connection shows as an error of its reads.
            match timeout(LONGER, || client.read_exact(&mut byte)) {
                Ok(Ok(())) => client.write_all(&byte).unwrap(),
                _ => failures.set(failures.get() + 1),
            }
        };
        evy::serve(listener, handler).unwrap();
    });
    let mut quick = evy::connect(address).unwrap();
    let mut slow = evy::connect(address).unwrap();
    quick.write_all(b"x").unwrap();
    quick.read_exact(&mut [0]).unwrap();
    assert_eq!(slow.read(&mut [0]).unwrap(), 0, "the handler has returned");
    assert_eq!(failed.get(), 1);
}

fn tcp_pair() -> (evy::net::TcpStream, evy::net::TcpStream) {
    let listener = evy::listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = spawn(move || evy::connect(address).unwrap());
    let (server, _) = listener.accept().unwrap();
    (client.join().unwrap(), server)
}

fn copies() {
    // A kill or a timeout of the caller has no effect.
    let ((mut a, mut near), (mut far, mut b)) = (tcp_pair(), tcp_pair());
    let proxy = spawn(move || timeout(SHORT, || net::copy_bidirectional(&mut near, &mut far)));
    sleep(LONGER);
    proxy.kill();
    a.write_all(b"there").unwrap();
    b.read_exact(&mut [0; 5]).unwrap();
    b.write_all(b"back").unwrap();
    a.read_exact(&mut [0; 4]).unwrap();
    a.shutdown(net::Shutdown::Write).unwrap();
    b.shutdown(net::Shutdown::Write).unwrap();
    let counts = proxy.join().unwrap().unwrap().unwrap();
    assert_eq!(counts, (5, 4));
    // A direction that fails ends the other one, which waits.
    let ((mut a, mut near), (mut far, b)) = (tcp_pair(), tcp_pair());
    near.set_read_timeout(Some(SHORT)).unwrap();
    let error = net::copy_bidirectional(&mut near, &mut far).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop((near, far));
    assert_eq!(a.read(&mut [0]).unwrap(), 0, "both handles are closed");
    drop(b);
}

fn panic_in_a_handler() {
    let listener = evy::listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    spawn_n(move || {
        let handler = |_: evy::net::TcpStream, _| -> () { panic!("the reason") };
        evy::serve(listener, handler).unwrap();
    });
    let mut client = evy::connect(address).unwrap();
    client.read(&mut [0]).unwrap();
}

fn http_stop() {
    let listener = evy::listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = evy::http::Server::default();
    let handle = server.handle();
    let serving = spawn(move || {
        server.serve(listener, |request| {
            if request.uri().path() == "/slow" {
                sleep(LONGER * 20);
            }
            "hello"
        })
    });
    let mut idle = evy::connect(address).unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    idle.read_exact(&mut [0; 50]).unwrap();
    let mut slow = evy::connect(address).unwrap();
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    sleep(SHORT);
    assert_eq!(handle.stop(LONGER * 4), 1, "the handler cannot be ended");
    serving.join().unwrap().unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).unwrap();
    slow.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"hello"), "the handler answers nevertheless");
    assert_eq!(handle.connections(), 0);
}

fn workers_stop() {
    let workers = evy::net::Workers::builder().threads(2);
    let workers = workers.start(|_| sleep(LONGER * 100)).unwrap();
    let handler = |request: evy::http::Request<_>| {
        if request.uri().path() == "/slow" {
            sleep(LONGER * 100);
        }
        "hello"
    };
    let address = evy::http::serve_on(&workers, "127.0.0.1:0", move || handler).unwrap();
    let mut idle = evy::connect(address).unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    idle.read_exact(&mut [0; 50]).unwrap();
    let mut slow = evy::connect(address).unwrap();
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    sleep(SHORT);
    let stopped = workers.handle().stop(LONGER * 4);
    assert_eq!(stopped.left, 1, "the handler cannot be ended");
    assert_eq!((stopped.unaccepted, stopped.blocked_workers), (0, 0));
    idle.read_to_end(&mut Vec::new()).unwrap();
    evy::connect(address).unwrap_err();
}

fn panic_in_a_worker() {
    let workers = evy::net::Workers::builder().threads(2);
    workers.start(|_| panic!("the reason")).unwrap().join();
}

fn panic_in_an_http_handler() {
    let listener = evy::listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    spawn_n(move || evy::http::serve(listener, |_| -> () { panic!("the reason") }).unwrap());
    drop(evy::http::get(&format!("http://{address}/")));
}

fn panic_in_the_body_of_a_request() {
    let listener = evy::listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    spawn_n(move || drop(evy::http::serve(listener, |_| "hello")));
    let body = evy::http::Body::from_writer(|_| panic!("the reason"));
    drop(evy::http::Client::new().post(&format!("http://{address}/"), body));
}

/// Requests whose bodies never end are ended by each way to leave them.
fn http_client() {
    use evy::http::{Body, Client, Request, RequestOptions, Server};
    let listener = evy::listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().max_body_bytes(u64::MAX).build();
    let handle = server.handle();
    spawn_n(move || {
        let handler = |request: Request<Body>| match request.uri().path() {
            "/refuse" => Err("no"),
            "/peer" => {
                let peer = request.extensions().get::<evy::http::Peer>().unwrap();
                Ok(peer.addr().unwrap().to_string().into())
            }
            // Answers while the body arrives.
            "/early" => Ok(Body::from_writer(|client| client.write_all(b"hello"))),
            _ => Ok(request.into_body()),
        };
        server.serve(listener, handler).unwrap();
    });
    let ticks = || {
        Body::from_writer(|server| {
            loop {
                server.write_all(b"tick")?;
                server.flush()?;
                sleep(SHORT);
            }
        })
    };
    let client = Client::new();
    let url = |path: &str| format!("http://{address}/{path}");
    let peer = || client.get(&url("peer")).unwrap().into_body().into_text().unwrap();
    let first = peer();
    // Meanwhile the idle connection is watched.
    sleep(LONGER * 3);
    assert_eq!(peer(), first, "the connection is used again");
    let refused = client.post(&url("refuse"), ticks()).unwrap();
    assert_eq!(refused.status(), 500);
    // A body that waits for something else is not waited for.
    let more = Queue::unbounded();
    let item = more.clone();
    let stuck = Body::from_writer(move |server| {
        server.write_all(b"begun")?;
        server.flush()?;
        item.get();
        Ok(())
    });
    assert_eq!(client.post(&url("refuse"), stuck).unwrap().status(), 500);
    more.put(());
    let dropped = client.post(&url("early"), ticks()).unwrap();
    assert_eq!(dropped.status(), 200);
    drop(dropped);
    let limited = RequestOptions::new().timeout(LONGER);
    let limited = Request::put(url("echo")).extension(limited).body(ticks());
    let mut endless = client.request(limited.unwrap()).unwrap().into_body();
    let error = std::io::copy(&mut endless, &mut std::io::sink()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    // A timeout around the request makes its I/O fail.
    let silent = evy::listen("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let result = timeout(LONGER, || client.get(&format!("http://{address}/")));
    result.unwrap().unwrap_err();
    drop(endless);
    let start = std::time::Instant::now();
    while handle.connections() > 0 {
        assert!(start.elapsed() < LONGER * 100, "{handle:?}");
        sleep(SHORT);
    }
}

fn lazy() {
    static VALUE: LazyLock<u32> = LazyLock::new(|| {
        sleep(LONGER);
        9
    });
    assert_eq!(timeout(SHORT, || *VALUE), Ok(9));
    assert_eq!(*VALUE, 9);
}

fn lock() {
    let mutex = Arc::new(Mutex::new(0));
    let held = Arc::clone(&mutex);
    let killed = spawn(move || {
        let mut guard = held.lock().unwrap();
        sleep(LONGER);
        *guard = 1;
    });
    sleep(SHORT);
    killed.kill();
    assert_eq!(*mutex.lock().unwrap(), 1);
}

fn channel() {
    let (sender, receiver) = mpsc::sync_channel(0);
    let killed = spawn(move || {
        sender.send(1).unwrap();
        sender.send(2).unwrap();
    });
    sleep(SHORT);
    killed.kill();
    assert_eq!(timeout(SHORT, || receiver.recv()), Ok(Ok(1)));
    assert_eq!(receiver.recv(), Ok(2));
    assert!(receiver.recv().is_err());
}

fn shuts_down() {
    spawn_n(|| Semaphore::new(0).acquire());
    spawn_n(|| evy::Event::<()>::new().wait().expect("no value is sent"));
    spawn_n(|| sleep(Duration::from_secs(3600)));
    spawn_n(|| {
        loop {
            thread::park();
        }
    });
    let (mut reader, writer) = silent();
    spawn_n(move || {
        reader.read(&mut [0]).unwrap_err();
        drop(writer);
    });
    assert_eq!(shutdown(SHORT), 4, "only the read has failed");
}
