//! The example `site`, as its clients see it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::{Running, send, start};

fn connect(addr: &str) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream
}

/// Sends a request that ends its connection, and returns the response.
fn ask(addr: &str, request: &str, headers: &str, body: &str) -> Vec<u8> {
    let mut client = connect(addr);
    let length = body.len();
    write!(
        client,
        "{request} HTTP/1.0\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    answer
}

fn ask_text(addr: &str, request: &str, headers: &str, body: &str) -> String {
    String::from_utf8(ask(addr, request, headers, body)).unwrap()
}

fn get(addr: &str, path: &str) -> String {
    ask_text(addr, &format!("GET {path}"), "", "")
}

/// Posts a message, and returns the response.
fn post(addr: &str, form: &str) -> String {
    let form_type = "Content-Type: application/x-www-form-urlencoded\r\n";
    ask_text(addr, "POST /messages", form_type, form)
}

fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = String::new();
    while !answer.ends_with(end) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(char::from(byte[0]));
    }
    answer
}

/// Returns the value of a header.
fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let lines = answer.lines().take_while(|line| !line.is_empty());
    let mut values = lines
        .filter_map(|line| line.split_once(": "))
        .filter(|(found, _)| *found == name);
    values.next().map_or("", |(_, value)| value)
}

fn assert_status(answer: &str, status: u16) {
    let start = format!("HTTP/1.1 {status} ");
    assert!(answer.starts_with(&start), "{answer}");
}

#[test]
fn site_routes_by_path_and_method() {
    let (_site, addr) = start("site");
    assert_status(&get(&addr, "/"), 200);
    assert_status(&get(&addr, "/nothing"), 404);
    assert_status(&get(&addr, "/messages/0"), 404);
    assert_status(&get(&addr, "/messages/x"), 404);
    let wrong = ask_text(&addr, "DELETE /", "", "");
    assert_status(&wrong, 405);
    assert_eq!(header(&wrong, "allow"), "GET");
    let head = ask_text(&addr, "HEAD /", "", "");
    assert_status(&head, 200);
    assert!(head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn site_takes_a_form_and_remembers_the_name_by_a_cookie() {
    let (_site, addr) = start("site");
    let posted = post(&addr, "name=J%C3%BCrgen+%26&text=%3Cscript%3E+a%2Bb");
    assert_status(&posted, 303);
    assert_eq!(header(&posted, "location"), "/");
    let cookie = header(&posted, "set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"));
    let (cookie, _) = cookie.split_once(';').unwrap();
    let cookie = format!("Cookie: other=1; {cookie}\r\n");
    let page = ask_text(&addr, "GET /", &cookie, "");
    assert!(page.contains("value=\"Jürgen &amp;\""), "{page}");
    assert!(
        page.contains("<b>Jürgen &amp;</b>: &lt;script> a+b"),
        "{page}"
    );
    assert!(get(&addr, "/messages/0").contains("&lt;script> a+b"));
    assert!(get(&addr, "/").contains("value=\"\""));

    assert_status(&post(&addr, "name=a&text="), 400);
    assert_status(&post(&addr, ""), 400);
    assert_status(&ask_text(&addr, "POST /messages", "", "name=a&text=b"), 415);
    let long = format!("name=a&text={}", "b".repeat(20_000));
    assert_status(&post(&addr, &long), 413);
    assert_status(&get(&addr, "/messages/1"), 404);
}

#[test]
fn site_takes_uploads() {
    let (_site, addr) = start("site");
    let file = |name: &str, bytes: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: text/plain\r\n\r\n{bytes}\r\n"
        )
    };
    let upload = |body: &str| {
        let multipart = "Content-Type: multipart/form-data; boundary=b\r\n";
        ask_text(&addr, "POST /upload", multipart, body)
    };
    let two = file("a.txt", "hello") + &file("b.txt", "--b not a boundary");
    let answer = upload(&format!("{two}--b--\r\n"));
    assert_status(&answer, 200);
    assert!(
        answer.ends_with("\r\n\r\na.txt: 5 bytes\nb.txt: 18 bytes\n"),
        "{answer}"
    );
    assert_status(&upload(&two), 400);
    assert_status(&upload(""), 400);
    assert_status(&upload(&file("c.txt", &"x".repeat(1 << 20))), 413);
    assert_status(&ask_text(&addr, "POST /upload", "", &two), 415);
}

#[test]
fn site_serves_files_with_types_and_dates_and_nothing_outside_of_its_folder() {
    let (_site, addr) = start("site");
    let style = get(&addr, "/static/style.css");
    assert_status(&style, 200);
    assert_eq!(header(&style, "content-type"), "text/css; charset=utf-8");
    let file = include_str!("../../examples/site/static/style.css");
    assert!(style.ends_with(&format!("\r\n\r\n{file}")), "{style}");
    assert_status(&get(&addr, "/static/%73tyle.css"), 200);

    let since = |date: &str| {
        let headers = format!("If-Modified-Since: {date}\r\n");
        ask_text(&addr, "GET /static/style.css", &headers, "")
    };
    let modified = header(&style, "last-modified");
    assert!(modified.ends_with(" GMT"), "{modified}");
    assert_status(&since(modified), 304);
    assert_status(&since("Sun, 06 Nov 1994 08:49:37 GMT"), 200);
    assert_status(&since("yesterday"), 200);

    for path in [
        "",
        "../main.rs",
        "%2e%2e/main.rs",
        "..%2fmain.rs",
        "a/../../main.rs",
        "/etc/passwd",
        "%2Fetc%2Fpasswd",
        "style.css%00",
        "%ff",
        ".",
        "nothing",
    ] {
        let answer = get(&addr, &format!("/static/{path}"));
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
}

#[test]
fn site_compresses_text_for_clients_that_accept_it() {
    let (_site, addr) = start("site");
    let with = |accepted: &str, path: &str| {
        let headers = format!("Accept-Encoding: {accepted}\r\n");
        let answer = ask(&addr, &format!("GET {path}"), &headers, "");
        let end = answer.windows(4).position(|part| part == b"\r\n\r\n");
        let (head, body) = answer.split_at(end.unwrap() + 4);
        (String::from_utf8(head.to_vec()).unwrap(), body.to_vec())
    };
    for accepted in ["gzip", "br, GZIP;q=0.5", "*", "identity;q=0, gzip ; q=1"] {
        let (head, body) = with(accepted, "/");
        assert_status(&head, 200);
        assert_eq!(header(&head, "content-encoding"), "gzip", "{accepted}");
        assert_eq!(header(&head, "vary"), "accept-encoding");
        let mut page = String::new();
        flate2::read::GzDecoder::new(&*body)
            .read_to_string(&mut page)
            .unwrap();
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</form>\n"));
    }
    for accepted in ["", "identity", "gzip;q=0", "gzip;q=0.0, *", "xgzip"] {
        let (head, body) = with(accepted, "/");
        assert_eq!(header(&head, "content-encoding"), "", "{accepted}");
        assert_eq!(header(&head, "vary"), "accept-encoding");
        assert!(body.starts_with(b"<!doctype html>"));
    }
    // A file is compressed, too.
    let (head, _) = with("gzip", "/static/style.css");
    assert_eq!(header(&head, "content-encoding"), "gzip");
}

#[test]
fn site_sends_each_message_to_all_streams_of_events() {
    let (_site, addr) = start("site");
    let mut streams: Vec<_> = (0..3).map(|_| connect(&addr)).collect();
    for stream in &mut streams {
        stream
            .write_all(b"GET /events HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
            .unwrap();
        let head = read_until(stream, "\r\n\r\n");
        assert_eq!(header(&head, "content-type"), "text/event-stream");
        assert_eq!(header(&head, "content-encoding"), "");
    }
    post(&addr, "name=a&text=one%0Atwo");
    for stream in &mut streams {
        read_until(stream, "data: a: one\ndata: two\n\n");
    }
    // A client that has left harms none.
    streams.pop();
    for text in ["x", "y", "z"] {
        post(&addr, &format!("name=b&text={text}"));
        for stream in &mut streams {
            read_until(stream, &format!("data: b: {text}\n\n"));
        }
    }
}

#[test]
fn site_stops_in_order_although_streams_of_events_are_open() {
    let (mut site, addr) = start("site");
    let mut events = connect(&addr);
    events
        .write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    read_until(&mut events, "\r\n\r\n");
    // A request in progress: its body is not complete.
    let mut posting = connect(&addr);
    posting
        .write_all(
            b"POST /messages HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\nExpect: 100-continue\r\n\
              Content-Type: application/x-www-form-urlencoded\r\n\r\n",
        )
        .unwrap();
    assert!(read_until(&mut posting, "\r\n\r\n").contains(" 100 "));
    let mut idle = connect(&addr);
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    read_until(&mut idle, "Upload</button>\n</form>\n");

    let start = Instant::now();
    send("-TERM", &site);
    assert_eq!(read_until(&mut events, "\r\n\r\n"), "0\r\n\r\n");
    posting.write_all(b"name=a&text=b").unwrap();
    let mut answer = String::new();
    posting.read_to_string(&mut answer).unwrap();
    assert_status(&answer, 303);
    assert_eq!(header(&answer, "connection"), "close");
    let Running(site) = &mut site;
    assert!(site.wait().unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(30));
}
