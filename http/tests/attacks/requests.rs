//! The server and the table of requests.

use std::io;
use std::rc::Rc;
use std::thread;

use evy_http::{Body, Request, Response, Server};
use evy_test_support::mock_stream::MockStream;
use evy_test_support::within;

use super::answers::outcome;
use super::splits::cuts;
use super::table::{Row, check_outcomes, rows};

const TABLE: &str = include_str!("requests.txt");

/// Whether the connection is kept after the request of a row shows in the answer to this one.
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn handle(request: Request<Body>) -> io::Result<Response<Vec<u8>>> {
    let mut answer = format!("{} ", request.uri().path()).into_bytes();
    answer.extend(request.into_body().into_bytes()?);
    Ok(Response::new(answer))
}

pub(super) fn outcome_of(server: &Server, pieces: &[&[u8]]) -> String {
    let stream = MockStream::new(pieces);
    let writes = Rc::clone(&stream.writes);
    server.serve_connection(stream, (), handle).ok();
    let bytes = writes.borrow().concat();
    outcome(&bytes)
}

fn input(row: &Row) -> Vec<u8> {
    let next = if row.is_end { b"" } else { NEXT };
    [&row.input, next].concat()
}

#[test]
fn each_request_is_answered_as_the_table_says() {
    within(|| {
        let server = Server::default();
        let rows = rows(TABLE);
        check_outcomes(&rows, |row| outcome_of(&server, &[&input(row)]));
        assert!(rows.len() > 700, "only {} rows were read", rows.len());
    });
}

#[test]
fn no_answer_depends_on_where_the_bytes_are_split() {
    within(|| {
        let rows = rows(TABLE);
        thread::scope(|s| {
            for rows in rows.chunks(rows.len().div_ceil(4)) {
                s.spawn(|| rows.iter().for_each(check_splits));
            }
        });
    });
}

fn check_splits(row: &Row) {
    let server = Server::default();
    let bytes = input(row);
    for cut in cuts(row, (row.input.len() + 1).min(bytes.len())) {
        let found = outcome_of(&server, &[&bytes[..cut], &bytes[cut..]]);
        assert_eq!(found, row.outcome, "line {}, split at {cut}", row.line);
    }
    let bytewise: Vec<_> = bytes.chunks(1).collect();
    let found = outcome_of(&server, &bytewise);
    assert_eq!(found, row.outcome, "line {}, byte by byte", row.line);
}
