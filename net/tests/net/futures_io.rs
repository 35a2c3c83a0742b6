//! Tests of streams in futures inside of `block_on`.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::time::Duration;

use evy_net::unix::UnixStream;
use evy_net::{connect, listen};
use evy_runtime::{block_on, spawn, timeout};
use evy_test_support::within;
use futures_lite::future::zip;
use futures_lite::io::copy;
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const LIMIT: Duration = Duration::from_secs(30);

/// Echoes until the client has closed its side, and closes the other one.
async fn echo<S: AsyncRead + AsyncWrite + Copy + Unpin>(stream: S) {
    let (mut reads, mut writes) = (stream, stream);
    copy(&mut reads, &mut writes).await.unwrap();
    writes.close().await.unwrap();
}

#[test]
fn both_sides_of_several_connections_run_in_one_block_on() {
    const LENGTH: usize = 2 << 20;
    async fn exchange<S: AsyncRead + AsyncWrite + Copy + Unpin>(client: S) {
        let (mut reads, mut writes) = (client, client);
        let sent: Vec<u8> = (0..LENGTH).map(|n| (n % 251) as u8).collect();
        let write = async {
            writes.write_all(&sent).await.unwrap();
            writes.close().await.unwrap();
        };
        let mut received = Vec::new();
        let (read, ()) = zip(reads.read_to_end(&mut received), write).await;
        assert_eq!(read.unwrap(), LENGTH);
        assert!(received == sent);
    }
    within(|| {
        let listener = listen("127.0.0.1:0").unwrap();
        let connection = || {
            let client = connect(listener.local_addr().unwrap()).unwrap();
            (client, listener.accept().unwrap().0)
        };
        let ((a, b), (c, d)) = (connection(), UnixStream::pair().unwrap());
        let all = zip(zip(exchange(&a), echo(&b)), zip(exchange(&c), echo(&d)));
        timeout(LIMIT, || block_on(all)).expect("the futures are woken");
    });
}

#[test]
fn a_future_and_a_green_thread_talk_to_each_other() {
    within(|| {
        let listener = listen("127.0.0.1:0").unwrap();
        let mut client = connect(listener.local_addr().unwrap()).unwrap();
        let server = spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            block_on(echo(&stream));
        });
        for round in 0..100_u32 {
            let mut answer = [0; 4];
            std::io::Write::write_all(&mut client, &round.to_be_bytes()).unwrap();
            std::io::Read::read_exact(&mut client, &mut answer).unwrap();
            assert_eq!(u32::from_be_bytes(answer), round);
        }
        drop(client);
        timeout(LIMIT, || server.join()).unwrap().unwrap();
    });
}
