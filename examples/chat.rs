//! Upgrade pattern: a chat over WebSocket, by the crate `tungstenite`, which knows nothing of evy.
//!
//! Run it, and connect to it from several terminals:
//!
//! ```text
//! cargo run --release --example chat [ADDR]      (default: 127.0.0.1:6002)
//! websocat ws://127.0.0.1:6002/
//! ```
//!
//! Every line that you type is sent to all clients. One that does not keep up is disconnected.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use evy::Queue;
use evy::http::{self, StatusCode, StatusError, Upgrade, Upgraded};
use evy::net::TcpStream;
use tungstenite::WebSocket;
use tungstenite::handshake::server::create_response;
use tungstenite::protocol::Role;

/// A client of which one green thread reads while another one writes what is in the outbox.
struct Client {
    stream: TcpStream,
    outbox: Rc<Queue<Vec<u8>>>,
}

impl Read for Client {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buf)
    }
}

impl Write for Client {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let sent = self.outbox.try_put(buf.to_vec());
        sent.map_err(|_| io::Error::other("the client does not keep up"))?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The clients that are connected, by the number of each.
type Room = RefCell<Vec<WebSocket<Client>>>;

fn chat(room: &Room, upgraded: Upgraded) -> Option<()> {
    let (mut stream, read_ahead) = upgraded.downcast::<TcpStream>().ok()?;
    let outbox = Rc::new(Queue::bounded(100));
    let client = |stream: &TcpStream| Client {
        stream: stream.try_clone().expect("it never fails"),
        outbox: Rc::clone(&outbox),
    };
    let mut incoming =
        WebSocket::from_partially_read(client(&stream), read_ahead, Role::Server, None);
    let outgoing = WebSocket::from_raw_socket(client(&stream), Role::Server, None);
    room.borrow_mut().push(outgoing);
    evy::scope(|s| {
        let writer = s.spawn(|| while stream.write_all(&outbox.get()).is_ok() {});
        while let Ok(message) = incoming.read() {
            if message.is_text() {
                // No send parks, so no other green thread borrows the room meanwhile.
                room.borrow_mut()
                    .retain_mut(|client| client.send(message.clone()).is_ok());
            }
        }
        room.borrow_mut()
            .retain(|client| !Rc::ptr_eq(&client.get_ref().outbox, &outbox));
        writer.kill();
    });
    Some(())
}

fn main() -> io::Result<()> {
    let addr = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:6002".into());
    let listener = evy::listen(addr)?;
    println!("listening on {}", listener.local_addr()?);
    let room = Rc::new(Room::default());
    http::serve(listener, move |request| {
        let response = create_response(&request.map(|_| ()))
            .map_err(|error| StatusError::new(StatusCode::BAD_REQUEST, error.to_string()))?;
        let room = Rc::clone(&room);
        Ok::<_, StatusError>(Upgrade::response(response, move |upgraded| {
            chat(&room, upgraded);
        }))
    })
}
