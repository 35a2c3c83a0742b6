//! WebSockets by tungstenite.

use std::net::TcpListener;

use crate::{WAIT, at_once, patched};

#[test]
fn a_server_and_twenty_clients_of_tungstenite_share_an_os_thread() {
    patched(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = evy::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                evy::spawn_n(move || {
                    let mut socket = tungstenite::accept(client).unwrap();
                    while let Ok(message) = socket.read() {
                        std::thread::sleep(WAIT);
                        if !message.is_text() || socket.send(message).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let echoes = at_once(20, move |index| {
            let (mut socket, _) = tungstenite::connect(format!("ws://{address}/")).unwrap();
            socket.send(index.to_string().into()).unwrap();
            socket.read().unwrap().into_text().unwrap().to_string()
        });
        let sent: Vec<_> = (0..20).map(|index| index.to_string()).collect();
        assert_eq!(echoes, sent);
        server.kill();
    });
}
