//! Tests of the load generator with servers that respond correctly, respond wrongly, or
//! disconnect.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "test helpers may panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;

fn load(words: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_evy-load");
    Command::new(program).args(words).output().unwrap()
}

/// Serves each connection with `handler` on a separate OS thread. Returns the address of the
/// server.
fn serve(handler: fn(TcpStream) -> std::io::Result<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            thread::spawn(move || handler(client));
        }
    });
    addr
}

/// Returns the number of requests in a report.
fn requests(output: &Output) -> u64 {
    assert!(output.status.success(), "{output:?}");
    let text = str::from_utf8(&output.stdout).unwrap();
    let shape = ["requests,", "second,", "p50", "p99"];
    assert!(shape.iter().all(|word| text.contains(word)), "{text}");
    text.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn an_echo_server_is_measured() {
    let addr = serve(|mut client| {
        let mut buf = [0; 4096];
        loop {
            let read = client.read(&mut buf)?;
            client.write_all(&buf[..read])?;
        }
    });
    assert!(requests(&load(&[&addr, "20", "0.2"])) >= 20);
    // The message is larger than the initial socket buffers, so both sides have to wait for space.
    assert!(requests(&load(&[&addr, "2", "1", "5000000"])) >= 1);
}

#[test]
fn an_http_server_is_measured() {
    let addr = serve(|client| {
        let mut writer = client.try_clone()?;
        for line in BufReader::new(client).lines() {
            if line?.is_empty() {
                writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")?;
            }
        }
        Ok(())
    });
    let url = format!("http://{addr}/page");
    assert!(requests(&load(&[&url, "20", "0.2"])) >= 20);
}

#[test]
fn a_wrong_response_ends_the_run_with_an_error() {
    let addr = serve(|mut client| {
        let mut buf = [0; 64];
        for turn in 0.. {
            client.read_exact(&mut buf)?;
            buf[63] ^= u8::from(turn == 5);
            client.write_all(&buf)?;
        }
        Ok(())
    });
    let output = load(&[&addr, "1", "5"]);
    assert!(!output.status.success() && output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("differs from what was expected"), "{text}");
}

#[test]
fn a_connection_closed_by_the_server_ends_the_run_with_an_error() {
    let addr = serve(|mut client| {
        let mut buf = [0; 64];
        client.read_exact(&mut buf)?;
        client.write_all(&buf)?;
        client.read_exact(&mut buf)
    });
    let output = load(&[&addr, "1", "5"]);
    assert!(!output.status.success() && output.stdout.is_empty());
}
