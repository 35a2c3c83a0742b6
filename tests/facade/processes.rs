//! Child processes together with sockets: the child of a server that answers a client itself.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use evy::net::TcpStream;
use evy::os::unix::process::{CommandExt, ExitStatusExt};
use evy::process::{Command, ExitStatus, Stdio};

/// The child finds its streams blocking, as `cat` expects.
#[test]
fn a_child_serves_a_client_over_the_socket_that_it_is_given() {
    let listener = evy::listen("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let client = evy::spawn(move || {
        let mut stream = TcpStream::connect(addr).unwrap();
        for _ in 0..3 {
            evy::sleep(std::time::Duration::from_millis(20));
            stream.write_all(b"echo").unwrap();
            stream.read_exact(&mut [0; 4]).unwrap();
        }
    });
    let (mut stream, _) = listener.accept().unwrap();
    // This read waits, so the socket is registered with the event queue.
    let mut first = [0];
    stream.read_exact(&mut first).unwrap();
    stream.write_all(&first).unwrap();
    let input = OwnedFd::from(stream.try_clone().unwrap());
    let mut command = Command::new("cat");
    command.stdin(input).stdout(OwnedFd::from(stream));
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    client.join().unwrap();
    let mut error = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut error).unwrap();
    assert_eq!((child.wait().unwrap().code(), &*error), (Some(0), ""));
}

#[test]
fn the_extensions_for_unix_have_the_paths_of_std() {
    let status = Command::new("sh")
        .arg0("other")
        .process_group(0)
        .args(["-c", "kill -9 $$"])
        .status();
    assert_eq!(status.unwrap().signal(), Some(9));
    assert_eq!(ExitStatus::from_raw(0).code(), Some(0));
}

/// Runs an ignored test of this file in a process of its own.
#[cfg(feature = "http")]
fn run(name: &str) {
    let output = evy_test_support::rerun_ignored(name)
        .output()
        .expect("the test binary runs");
    assert!(output.status.success(), "{output:?}");
}

#[cfg(feature = "http")]
#[test]
fn workers_serve_on_while_their_process_forks() {
    run("processes::forks_while_workers_serve");
}

#[cfg(feature = "http")]
#[test]
#[ignore = "needs a process of its own"]
#[expect(unsafe_code, reason = "only a system call creates such a child")]
fn forks_while_workers_serve() {
    use evy::http::{self, Server};
    use evy::net::Workers;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    const SHORT: Duration = Duration::from_millis(100);

    let workers = Workers::builder().threads(2).start(|_worker| ()).unwrap();
    let server = Server::default();
    let handle = server.handle();
    let addr = server
        .serve_on(&workers, "127.0.0.1:0", || |_| "hello")
        .unwrap();
    let get = move || {
        let mut stream = std::net::TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(SHORT * 200)).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    };
    static IS_DONE: AtomicBool = AtomicBool::new(false);
    let clients: [_; 2] = std::array::from_fn(|_| {
        std::thread::spawn(move || {
            while !IS_DONE.load(Ordering::Relaxed) {
                get();
            }
        })
    });
    type Call<'a> = &'a dyn Fn();
    let url = format!("http://{addr}/");
    let calls: [Call<'_>; 7] = [
        &|| (),
        &|| drop(http::get(&url)),
        &|| assert_eq!(handle.stop(SHORT), 0),
        &|| assert_eq!(workers.handle().stop(SHORT).left, 0),
        &|| workers.handle().begin_stop(SHORT),
        &|| drop(http::serve_on(&workers, "127.0.0.1:0", || |_| "hello")),
        &|| drop(Workers::builder().threads(1).start(|_worker| ())),
    ];
    for (number, call) in calls.iter().enumerate() {
        for _ in 0..5 {
            // SAFETY: the child runs on this stack only, and calls nothing after the `alarm` but
            // what is tested, which must not wait for a lock of another OS thread for ever.
            let child = unsafe { libc::fork() };
            assert!(child >= 0);
            if child == 0 {
                // SAFETY: ends the child if it hangs.
                unsafe { libc::alarm(20) };
                catch_unwind(AssertUnwindSafe(call)).ok();
                // SAFETY: ends the process, and nothing else.
                unsafe { libc::_exit(7) };
            }
            let mut status = 0;
            // SAFETY: the pointer is valid, and the child belongs to this process.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_ne!(libc::WTERMSIG(status), libc::SIGALRM, "call {number} hangs");
            get();
        }
    }
    IS_DONE.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    assert!(handle.requests() > 35);
    assert_eq!(workers.handle().stop(SHORT * 100).left, 0);
}
