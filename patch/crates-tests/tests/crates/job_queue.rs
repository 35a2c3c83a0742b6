//! The crate redis, with a real server.

use std::process::Command;
use std::time::Duration;

use redis::{Client, RedisResult};

use crate::servers::{self, Running};
use crate::{WAIT, at_once, patched};

fn start() -> Option<(Running, Client)> {
    let port = servers::free_port();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--appendonly", "no"]);
    let server = servers::start(command, port)?;
    let client = Client::open(format!("redis://127.0.0.1:{port}/")).unwrap();
    Some((server, client))
}

#[test]
fn twenty_green_threads_of_one_os_thread_wait_in_blpop() {
    patched(|| {
        let Some((_server, client)) = start() else {
            return;
        };
        let pusher = client.clone();
        let pusher = evy::spawn(move || {
            let mut connection = pusher.get_connection().unwrap();
            evy::sleep(WAIT);
            for index in 0..20 {
                let mut push = redis::cmd("RPUSH");
                push.arg(format!("jobs {index}")).arg(index);
                push.exec(&mut connection).unwrap();
            }
        });
        let popped = at_once(20, move |index| {
            let mut connection = client.get_connection().unwrap();
            let mut pop = redis::cmd("BLPOP");
            pop.arg(format!("jobs {index}")).arg(30);
            let (_, job): (String, usize) = pop.query(&mut connection).unwrap();
            job
        });
        assert_eq!(popped, (0..20).collect::<Vec<_>>());
        pusher.join().unwrap();
    });
}

#[test]
fn a_read_timeout_of_redis_ends_blpop() {
    patched(|| {
        let Some((_server, client)) = start() else {
            return;
        };
        let are_timeouts = at_once(10, move |_| {
            let mut connection = client.get_connection().unwrap();
            connection
                .set_read_timeout(Some(Duration::from_millis(250)))
                .unwrap();
            let popped: RedisResult<Vec<String>> = redis::cmd("BLPOP")
                .arg("no jobs")
                .arg(30)
                .query(&mut connection);
            popped.unwrap_err().is_timeout()
        });
        assert!(are_timeouts.iter().all(|is_timeout| *is_timeout));
    });
}

#[test]
fn twenty_subscribers_of_redis_wait_for_messages() {
    patched(|| {
        let Some((_server, client)) = start() else {
            return;
        };
        let publisher = client.clone();
        let publisher = evy::spawn(move || {
            let mut connection = publisher.get_connection().unwrap();
            evy::sleep(WAIT);
            for message in ["first", "second"] {
                let mut publish = redis::cmd("PUBLISH");
                publish.arg("news").arg(message);
                publish.exec(&mut connection).unwrap();
            }
        });
        let received = at_once(20, move |_| {
            let mut connection = client.get_connection().unwrap();
            let mut news = connection.as_pubsub();
            news.subscribe("news").unwrap();
            let mut next = || news.get_message().unwrap().get_payload::<String>().unwrap();
            [next(), next()]
        });
        assert!(received.iter().all(|both| *both == ["first", "second"]));
        publisher.join().unwrap();
    });
}
