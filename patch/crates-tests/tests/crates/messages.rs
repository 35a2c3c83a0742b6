//! Channels between processes, and clients of services of a network.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::sleep;

use crate::{WAIT, at_once, patched};

#[test]
fn channels_of_ipc_channel_park() {
    patched(|| {
        at_once(20, |index| {
            let (sender, receiver) = ipc_channel::ipc::bytes_channel().unwrap();
            // Longer than the buffer of a socket.
            let message = vec![index as u8; 300_000];
            let sent = message.clone();
            let other = evy::spawn(move || {
                sleep(WAIT);
                sender.send(&sent).unwrap();
            });
            assert_eq!(receiver.recv().unwrap(), message);
            other.join().unwrap();
        });
    });
}

#[test]
fn local_sockets_of_interprocess_park() {
    use interprocess::local_socket::prelude::{LocalSocketStream, *};
    use interprocess::local_socket::{GenericNamespaced, ListenerOptions};

    patched(|| {
        at_once(20, |index| {
            let name = format!("evy-{}-{index}", std::process::id());
            let name = || name.clone().to_ns_name::<GenericNamespaced>().unwrap();
            let listener = ListenerOptions::new().name(name()).create_sync().unwrap();
            let server = evy::spawn(move || {
                let mut peer = listener.accept().unwrap();
                sleep(WAIT);
                peer.write_all(b"text").unwrap();
            });
            let mut socket = LocalSocketStream::connect(name()).unwrap();
            let mut text = String::new();
            socket.read_to_string(&mut text).unwrap();
            assert_eq!(text, "text");
            server.join().unwrap();
        });
    });
}

/// The library of ZeroMQ waits for its own OS thread in `poll`.
#[test]
fn twenty_pairs_of_green_threads_talk_by_zeromq() {
    patched(|| {
        let context = zmq::Context::new();
        at_once(20, move |_| {
            let server = context.socket(zmq::REP).unwrap();
            server.bind("tcp://127.0.0.1:*").unwrap();
            let address = server.get_last_endpoint().unwrap().unwrap();
            let context = context.clone();
            let client = evy::spawn(move || {
                let client = context.socket(zmq::REQ).unwrap();
                client.connect(&address).unwrap();
                sleep(WAIT);
                client.send("question", 0).unwrap();
                client.recv_string(0).unwrap().unwrap()
            });
            assert_eq!(server.recv_string(0).unwrap().unwrap(), "question");
            server.send("answer", 0).unwrap();
            assert_eq!(client.join().unwrap(), "answer");
            server.set_rcvtimeo(20).unwrap();
            assert_eq!(server.recv_bytes(0), Err(zmq::Error::EAGAIN));
        });
    });
}

/// Starts a server. Each connection is served on an OS thread of its own.
fn serve(serve: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for peer in listener.incoming() {
            let peer = peer.unwrap();
            std::thread::spawn(move || serve(peer));
        }
    });
    address
}

/// Accepts a client of MQTT after a while, and publishes a message.
fn serve_mqtt(mut peer: TcpStream) {
    let mut packet = [0; 512];
    assert!(peer.read(&mut packet).unwrap() > 0);
    sleep(WAIT);
    peer.write_all(&[0x20, 2, 0, 0]).unwrap();
    peer.write_all(b"\x30\x07\x00\x01ttext").unwrap();
    while peer.read(&mut packet).is_ok_and(|len| len > 0) {}
}

#[test]
fn ten_clients_of_rumqttc_wait_for_a_message() {
    use rumqttc::{Client, Event, MqttOptions, Packet};

    patched(|| {
        let port = serve(serve_mqtt).port();
        at_once(10, move |index| {
            let options = MqttOptions::new(format!("client {index}"), "127.0.0.1", port);
            let (_client, mut connection) = Client::new(options, 10);
            let message = connection.iter().find_map(|event| match event.unwrap() {
                Event::Incoming(Packet::Publish(message)) => Some(message),
                _ => None,
            });
            assert_eq!(message.unwrap().payload, "text");
        });
    });
}

/// Accepts the name and the password of a client of LDAP after a while.
fn serve_ldap(mut peer: TcpStream) {
    let mut request = [0; 512];
    assert!(peer.read(&mut request).unwrap() > 4);
    sleep(WAIT);
    let id = request[4];
    let answer = [0x30, 12, 2, 1, id, 0x61, 7, 10, 1, 0, 4, 0, 4, 0];
    peer.write_all(&answer).unwrap();
    while peer.read(&mut request).is_ok_and(|len| len > 0) {}
}

#[test]
fn ten_clients_of_ldap3_log_in() {
    patched(|| {
        let url = format!("ldap://{}", serve(serve_ldap));
        let codes = at_once(10, move |_| {
            let mut connection = ldap3::LdapConn::new(&url).unwrap();
            connection.simple_bind("cn=user", "password").unwrap().rc
        });
        assert_eq!(codes, [0; 10]);
    });
}

/// Answers each question for the address of a name with 192.0.2.1, after a while.
fn serve_dns() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut packet = [0; 512];
        loop {
            let (len, peer) = socket.recv_from(&mut packet).unwrap();
            let mut answer = packet[..len].to_vec();
            let socket = socket.try_clone().unwrap();
            std::thread::spawn(move || {
                sleep(WAIT);
                let name = answer[12..].iter().position(|byte| *byte == 0).unwrap();
                answer.truncate(12 + name + 5);
                // An answer without an error, with one record.
                answer[2..4].copy_from_slice(&[0x81, 0x80]);
                answer[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
                socket.send_to(&answer, peer).unwrap();
            });
        }
    });
    address
}

#[test]
fn ten_green_threads_resolve_names_with_hickory() {
    use hickory_resolver::Resolver;
    use hickory_resolver::config::{NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;

    patched(|| {
        let address = serve_dns();
        let counts = at_once(10, move |index| {
            let mut server = NameServerConfig::udp(address.ip());
            server.connections[0].port = address.port();
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let builder =
                    Resolver::builder_with_config(config, TokioRuntimeProvider::default());
                let resolver = builder.build().unwrap();
                let found = resolver.ipv4_lookup(format!("host{index}.test.")).await;
                found.unwrap().answers().len()
            })
        });
        assert_eq!(counts, [1; 10]);
    });
}
