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
