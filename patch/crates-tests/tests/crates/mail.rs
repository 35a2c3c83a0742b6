//! Clients of protocols that consist of lines: SMTP, IMAP, FTP.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use lettre::{Message, SmtpTransport, Transport};
use suppaftp::FtpStream;

use crate::{WAIT, at_once, patched};

/// Starts a server on this OS thread. It greets, and then answers each line.
fn serve(greeting: &'static str, answer: fn(&str) -> String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    evy::spawn_n(move || {
        for client in listener.incoming() {
            evy::spawn_n(move || talk(client.unwrap(), greeting, answer));
        }
    });
    address
}

fn talk(mut client: TcpStream, greeting: &str, answer: fn(&str) -> String) {
    write!(client, "{greeting}\r\n").unwrap();
    let lines = BufReader::new(client.try_clone().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        let answer = answer(&line);
        if !answer.is_empty() && write!(client, "{answer}\r\n").is_err() {
            return;
        }
    }
}

#[test]
fn lettre_sends_twenty_messages() {
    patched(|| {
        let address = serve("220 ready", |line| {
            let answer = match line.split(' ').next().unwrap() {
                "EHLO" | "MAIL" | "RCPT" | "NOOP" => "250 ok",
                "DATA" => "354 go on",
                "QUIT" => "221 bye",
                "." => {
                    std::thread::sleep(WAIT);
                    "250 sent"
                }
                _ => "",
            };
            answer.to_owned()
        });
        let sent = at_once(20, move |index| {
            let message = Message::builder()
                .from("evy@localhost".parse().unwrap())
                .to("you@localhost".parse().unwrap())
                .subject(format!("message {index}"))
                .body(String::from("hello"))
                .unwrap();
            let transport = SmtpTransport::builder_dangerous("127.0.0.1");
            let transport = transport.port(address.port()).build();
            transport.send(&message).unwrap().is_positive()
        });
        assert_eq!(sent, [true; 20]);
    });
}

#[test]
fn the_client_of_imap_logs_in_twenty_times() {
    patched(|| {
        let address = serve("* OK ready", |line| {
            std::thread::sleep(WAIT);
            format!("{} OK done", line.split(' ').next().unwrap())
        });
        let logged_in = at_once(20, move |_| {
            let mut client = imap::Client::new(TcpStream::connect(address).unwrap());
            client.read_greeting().unwrap();
            client.login("name", "password").is_ok()
        });
        assert_eq!(logged_in, [true; 20]);
    });
}

#[test]
fn the_client_of_suppaftp_logs_in_twenty_times() {
    patched(|| {
        let address = serve("220 ready", |line| {
            let answer = match line.split(' ').next().unwrap() {
                "USER" => "331 password?",
                "PASS" => {
                    std::thread::sleep(WAIT);
                    "230 welcome"
                }
                _ => "221 bye",
            };
            answer.to_owned()
        });
        let logged_in = at_once(20, move |_| {
            let mut client = FtpStream::connect(address).unwrap();
            client.login("name", "password").unwrap();
            client.quit().is_ok()
        });
        assert_eq!(logged_in, [true; 20]);
    });
}
