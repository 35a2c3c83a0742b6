//! The clients: evy, and curl where it is installed.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use evy::http::{Body, Client as EvyClient, Method, Request};

use crate::answers::escape;
use crate::table::Row;

const PAUSE: Duration = Duration::from_millis(3);

/// A client, as a function that fetches two URLs, the first one perhaps with HEAD.
pub struct Client {
    pub name: &'static str,
    /// Whether each try takes a process, so that the bytes are not split.
    is_process: bool,
    fetch: fn(SocketAddr, bool) -> Result<String, String>,
}

/// Returns the clients that are installed.
pub fn all() -> Vec<Client> {
    let mut clients = vec![Client {
        name: "evy's client",
        is_process: false,
        fetch: fetch_with_evy,
    }];
    match Command::new("curl").arg("--version").output() {
        Ok(_) => clients.push(Client {
            name: "curl",
            is_process: true,
            fetch: fetch_with_curl,
        }),
        Err(error) => println!("curl is skipped: {error}"),
    }
    clients
}

impl Client {
    /// Returns how the outcomes of a row differ from what is allowed.
    pub fn differences(&self, row: &Row) -> Vec<String> {
        let is_head = row.input.starts_with(b"{head}");
        let bytes = row.input.strip_prefix(b"{head}").unwrap_or(&row.input);
        // Which error it is depends on the client.
        let relevant = |outcome: &str| match outcome {
            "malformed" | "cut" => "error".to_owned(),
            outcome if outcome.starts_with("error") => "error".to_owned(),
            outcome => outcome.to_owned(),
        };
        let cuts = 1..if self.is_process { 0 } else { bytes.len() };
        crate::differences(row, bytes.len(), cuts, relevant, |cut| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
            let addr = listener.local_addr().expect("it is bound");
            thread::scope(|s| {
                let (first, second) = bytes.split_at(cut);
                let server = s.spawn(|| serve(&listener, first, second, row.is_end));
                let fetched = (self.fetch)(addr, is_head);
                // A client that is done with both URLs may not have connected again.
                let unblock = TcpStream::connect(addr);
                drop(unblock);
                let is_kept = server.join().expect("it does not panic").unwrap_or(false);
                match fetched {
                    Ok(answer) if is_kept => format!("{answer} kept"),
                    Ok(answer) => format!("{answer} closed"),
                    Err(error) => format!("error ({error})"),
                }
            })
        })
    }
}

/// Answers the first request with the pieces, and another one as it should be. Returns whether both
/// came on one connection.
fn serve(listener: &TcpListener, first: &[u8], second: &[u8], is_end: bool) -> io::Result<bool> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    read_request(&mut stream)?;
    stream.write_all(first).ok();
    if !second.is_empty() {
        thread::sleep(PAUSE);
        stream.write_all(second).ok();
    }
    if is_end {
        stream.shutdown(Shutdown::Write).ok();
    }
    let is_kept = read_request(&mut stream).unwrap_or(false);
    if !is_kept {
        drop(stream);
        stream = listener.accept()?.0;
        read_request(&mut stream)?;
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nnext")?;
    Ok(is_kept)
}

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

fn word(status: &str, body: &[u8]) -> String {
    let body = escape(&String::from_utf8_lossy(body));
    let separator = if body.is_empty() { "" } else { "=" };
    format!("{status}{separator}{body}")
}

fn fetch_with_evy(addr: SocketAddr, is_head: bool) -> Result<String, String> {
    let client = EvyClient::builder().timeout(Duration::from_secs(5)).build();
    let fetch = |method: Method| {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = format!("http://{addr}/")
            .parse()
            .map_err(io::Error::other)?;
        let response = client.request(request)?;
        let status = response.status();
        Ok(word(status.as_str(), &response.into_body().into_bytes()?))
    };
    let outcome = fetch(if is_head { Method::HEAD } else { Method::GET });
    // What the server sends without a request has arrived.
    thread::sleep(6 * PAUSE);
    let next = fetch(Method::POST);
    let outcome = outcome.map_err(|error: io::Error| error.to_string())?;
    match next.as_deref() {
        Ok("200=next") => Ok(outcome),
        next => Ok(format!("{outcome} {next:?}")),
    }
}

fn fetch_with_curl(addr: SocketAddr, is_head: bool) -> Result<String, String> {
    let url = format!("http://{addr}/");
    let mut command = Command::new("curl");
    command.args(["-s", "--max-time", "5", "-w", " %{http_code} %{exitcode}\n"]);
    if is_head {
        command.args(["--head", "-o", "/dev/null"]);
    }
    // What the server sends without a request arrives before the next one.
    command.args([
        &url,
        "--next",
        "-s",
        "--rate",
        "100/s",
        "-w",
        "|%{http_code}",
        &url,
    ]);
    let output = command.output().map_err(|error| error.to_string())?;
    let Some(at) = output.stdout.windows(1).rposition(|byte| byte == b"\n") else {
        return Err("no output".to_owned());
    };
    let (first, next) = output.stdout.split_at(at + 1);
    let text = String::from_utf8_lossy(first).trim_end().to_owned();
    let mut words = text.rsplitn(3, ' ');
    let mut column = || words.next().unwrap_or_default().to_owned();
    let (exit, code, body) = (column(), column(), column());
    if exit != "0" {
        return Err(format!("curl exits with {exit}"));
    }
    match next {
        b"next|200" => Ok(word(&code, body.as_bytes())),
        next => Ok(format!(
            "{} {}",
            word(&code, body.as_bytes()),
            next.escape_ascii()
        )),
    }
}
