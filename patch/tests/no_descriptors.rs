//! A process that runs out of descriptors. The limit holds for the whole process, so this test is alone.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use evy_test_support::within;

#[test]
fn a_server_that_retries_accept_at_once_lets_its_connections_end() {
    if let Err(error) = evy::patch::monkey_patch() {
        println!("skipped: {error}");
        return;
    }
    within(|| {
        const CLIENTS: usize = 30;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        let next = File::open("/dev/null").unwrap().as_raw_fd();
        let limit = libc::rlimit {
            rlim_cur: next as u64 + 5,
            rlim_max: next as u64 + 5,
        };
        // SAFETY: the limit is valid.
        let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        assert_eq!(result, 0);
        let server = evy::spawn(move || {
            let mut failures = 0;
            let mut connections = Vec::new();
            // As in many programs, an error is not a reason to wait.
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else {
                    failures += 1;
                    continue;
                };
                connections.push(evy::spawn(move || stream.read(&mut [0]).unwrap()));
                if connections.len() == CLIENTS {
                    break;
                }
            }
            let received: usize = connections.into_iter().map(|one| one.join().unwrap()).sum();
            (received, failures)
        });
        for mut client in clients {
            evy::yield_now();
            client.write_all(b"x").unwrap();
        }
        let (received, failures) = server.join().unwrap();
        assert_eq!(received, CLIENTS);
        assert!(failures > 0, "there were enough descriptors");
    });
}
