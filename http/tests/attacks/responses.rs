//! The client and the table of responses.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

use evy_http::{Body, Client, Method, Request};
use evy_net::{Stream, TcpListener, TcpStream, listen};
use evy_runtime::{scope, yield_now};
use evy_test_support::within;

use super::answers::escape;
use super::splits::cuts;
use super::table::{Row, check_outcomes, rows};

const TABLE: &str = include_str!("responses.txt");

/// Sends the pieces to a client, and returns what it makes of them.
fn outcome_of(listener: &TcpListener, row: &Row, pieces: &[&[u8]]) -> String {
    let is_sent = Cell::new(false);
    let limit = Duration::from_secs(20);
    let client = Client::builder().timeout(limit).build();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    scope(|s| {
        let server = s.spawn(|| serve(listener, pieces, row.is_end, &is_sent).unwrap());
        let mut request = Request::get(&url).body(Body::empty()).unwrap();
        if row.input.starts_with(b"{head}") {
            *request.method_mut() = Method::HEAD;
        }
        let fetched = fetch(&client, request);
        while !is_sent.get() {
            yield_now();
        }
        let next = Request::get(&url).body(Body::empty()).unwrap();
        let next = fetch(&client, next).expect("the client goes on");
        assert_eq!(next, "200=next", "line {}", row.line);
        let is_kept = server.join().unwrap();
        match fetched {
            Ok(answer) if is_kept => format!("{answer} kept"),
            Ok(answer) => format!("{answer} closed"),
            Err(error) if is_kept => format!("{error:?} kept"),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => "malformed".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => "cut".to_owned(),
            Err(error) => format!("{error:?}"),
        }
    })
}

fn fetch(client: &Client, request: Request<Body>) -> io::Result<String> {
    let response = client.request(request)?;
    let status = response.status().as_u16();
    let body = response.into_body().into_bytes()?;
    let body = escape(&String::from_utf8_lossy(&body));
    let separator = if body.is_empty() { "" } else { "=" };
    Ok(format!("{status}{separator}{body}"))
}

/// Answers the first request with the pieces, and another one as it should be. Returns whether both
/// came on one connection.
fn serve(
    listener: &TcpListener,
    pieces: &[&[u8]],
    is_end: bool,
    is_sent: &Cell<bool>,
) -> io::Result<bool> {
    let (mut first, _) = listener.accept()?;
    first.set_nodelay(true)?;
    assert!(read_request(&mut first)?);
    // The client may have closed the connection before the last piece.
    for piece in pieces {
        first.write_all(piece).ok();
        // Events are polled at least every 64 turns. Then the client runs, because it has data.
        for _ in 0..130 {
            yield_now();
        }
    }
    if is_end {
        first.close_write().ok();
    }
    is_sent.set(true);
    let is_kept = read_request(&mut first).unwrap_or(false);
    let mut stream = if is_kept { first } else { listener.accept()?.0 };
    assert!(is_kept || read_request(&mut stream)?);
    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nnext")?;
    // The client closes first, so that the port is free again.
    stream.read_to_end(&mut Vec::new()).ok();
    stream.reset();
    Ok(is_kept)
}

/// Returns `false` if the client closes the connection instead.
fn read_request(stream: &mut TcpStream) -> io::Result<bool> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 512];
        let read = stream.read(&mut bytes)?;
        if read == 0 {
            return Ok(false);
        }
        request.extend_from_slice(&bytes[..read]);
    }
    Ok(true)
}

fn input(row: &Row) -> &[u8] {
    row.input.strip_prefix(b"{head}").unwrap_or(&row.input)
}

#[test]
fn the_client_makes_of_each_response_what_the_table_says() {
    within(|| {
        let listener = listen("127.0.0.1:0").unwrap();
        let rows = rows(TABLE);
        check_outcomes(&rows, |row| outcome_of(&listener, row, &[input(row)]));
        assert!(rows.len() > 300, "only {} rows were read", rows.len());
    });
}

#[test]
fn no_response_depends_on_where_the_bytes_are_split() {
    within(|| {
        let rows = rows(TABLE);
        thread::scope(|s| {
            for rows in rows.chunks(rows.len().div_ceil(4)) {
                s.spawn(|| check_splits(rows));
            }
        });
    });
}

fn check_splits(rows: &[Row]) {
    let listener = listen("127.0.0.1:0").unwrap();
    for row in rows {
        let bytes = input(row);
        for cut in cuts(row, bytes.len()) {
            let found = outcome_of(&listener, row, &[&bytes[..cut], &bytes[cut..]]);
            assert_eq!(found, row.outcome, "line {}, split at {cut}", row.line);
        }
    }
}
