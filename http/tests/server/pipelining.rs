//! Requests that are sent without waiting for answers.

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use evy_http::{Body, Request, Server};
use evy_runtime::{sleep, spawn, yield_now};
use evy_test_support::within;

use super::{connect, exchange, read_until, start, statuses};

fn handler(request: Request<Body>) -> Result<String, std::io::Error> {
    match request.uri().path() {
        "/slow" => sleep(Duration::from_secs(1)),
        "/busy" => {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(1) {}
        }
        _ => {}
    }
    let path = request.uri().to_string();
    Ok(path + &request.into_body().into_text()?)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn answers_to_requests_that_arrive_together_leave_together_and_in_order() {
    within(|| {
        let addr = start(Server::default(), handler);
        let mut stream = connect(addr);
        let requests: String = (0..16).map(|n| get(&format!("/{n}"))).collect();
        stream.write_all(requests.as_bytes()).unwrap();
        let mut answers = vec![0; 64 * 1024];
        let read = stream.read(&mut answers).unwrap();
        let answers = String::from_utf8_lossy(&answers[..read]);
        assert_eq!(statuses(&answers).len(), 16, "{answers}");
        let mut at = 0;
        for n in 0..16 {
            at += answers[at..].find(&format!("/{n}")).expect("in order");
        }
    });
}

#[test]
fn any_number_of_requests_of_any_kind_is_answered_in_order() {
    within(|| {
        let addr = start(Server::default(), handler);
        let mut requests = String::new();
        for n in 0..300 {
            requests += &match n % 3 {
                0 => get(&format!("/{n}")),
                1 => format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"),
                _ => format!(
                    "POST /{n} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nho\r\n0\r\n\r\n"
                ),
            };
        }
        requests += "GET /end HTTP/1.0\r\n\r\n";
        let answers = exchange(addr, requests.as_bytes());
        assert_eq!(statuses(&answers).len(), 301);
        let mut at = 0;
        for n in 0..300 {
            let text = format!("/{n}{}", ["", "hi", "ho"][n % 3]);
            at += answers[at..].find(&text).expect("in order") + text.len();
        }
    });
}

#[test]
fn an_answer_does_not_wait_for_the_next_handler() {
    within(|| {
        let addr = start(Server::default(), handler);
        let mut stream = connect(addr);
        let start = Instant::now();
        stream
            .write_all((get("/fast") + &get("/slow")).as_bytes())
            .unwrap();
        read_until(&mut stream, "\r\n\r\n/fast");
        assert!(
            start.elapsed() < Duration::from_millis(700),
            "{:?}",
            start.elapsed()
        );
        read_until(&mut stream, "\r\n\r\n/slow");
        // Nor for the rest of the next request.
        stream
            .write_all((get("/fast") + "GET /half").as_bytes())
            .unwrap();
        read_until(&mut stream, "\r\n\r\n/fast");
        let post = "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
        stream
            .write_all(format!(" HTTP/1.1\r\nHost: a\r\n\r\n{post}").as_bytes())
            .unwrap();
        read_until(&mut stream, "\r\n\r\n/half");
        stream.write_all(b"hello").unwrap();
        read_until(&mut stream, "\r\n\r\n/posthello");
    });
}

#[test]
fn a_client_that_floods_does_not_hold_back_others() {
    within(|| {
        let addr = start(Server::default(), handler);
        let flood = thread::spawn(move || {
            let mut stream = connect(addr);
            stream
                .write_all(get("/busy").repeat(600).as_bytes())
                .unwrap();
            for _ in 0..600 {
                read_until(&mut stream, "/busy");
            }
        });
        thread::sleep(Duration::from_millis(50));
        let start = Instant::now();
        let mut stream = connect(addr);
        for _ in 0..3 {
            stream.write_all(get("/x").as_bytes()).unwrap();
            read_until(&mut stream, "/x");
        }
        assert!(!flood.is_finished(), "{:?}", start.elapsed());
        flood.join().unwrap();
    });
}

#[test]
fn a_client_that_floods_gets_sixteen_answers_before_others_get_their_turn() {
    const REQUESTS: usize = 2000;
    within(|| {
        let answered = Rc::new(Cell::new(0));
        let count = Rc::clone(&answered);
        let listener = evy_net::listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = spawn(move || {
            Server::default().serve(listener, move |_request| {
                count.set(count.get() + 1);
                "x"
            })
        });
        let flood = thread::spawn(move || {
            let mut stream = connect(addr);
            let mut reader = stream.try_clone().unwrap();
            let reading = thread::spawn(move || super::read_to_end(&mut reader));
            let requests = get("/").repeat(REQUESTS - 1) + "GET / HTTP/1.0\r\n\r\n";
            stream.write_all(requests.as_bytes()).unwrap();
            reading.join().unwrap()
        });
        let mut most = 0;
        while answered.get() < REQUESTS {
            let before = answered.get();
            yield_now();
            most = most.max(answered.get() - before);
        }
        // One client is served in whole batches, and no more than one in each turn of another.
        assert_eq!(most, 16);
        assert_eq!(statuses(&flood.join().unwrap()).len(), REQUESTS);
        server.kill();
    });
}

#[test]
fn a_handler_that_writes_while_earlier_answers_wait_keeps_their_order() {
    within(|| {
        let addr = start(Server::default(), |request| {
            if request.uri().path() == "/stream" {
                return evy_http::Response::new(Body::from_writer(|out| {
                    for _ in 0..3 {
                        out.write_all(b"piece")?;
                        out.flush()?;
                        spawn(|| ()).join().ok();
                    }
                    Ok(())
                }));
            }
            evy_http::Response::new(request.uri().to_string().into())
        });
        let requests = get("/1") + &get("/stream") + &get("/2") + "GET /3 HTTP/1.0\r\n\r\n";
        let answers = exchange(addr, requests.as_bytes());
        assert_eq!(statuses(&answers).len(), 4);
        let order = ["/1", "piece", "piece", "piece", "0\r\n\r\n", "/2", "/3"];
        let mut at = 0;
        for part in order {
            at += answers[at..].find(part).expect("in order") + part.len();
        }
    });
}

#[test]
fn answers_stay_in_order_whatever_handlers_and_clients_do() {
    fn mixed(request: Request<Body>) -> std::io::Result<Body> {
        let mark = format!("<{}>", request.uri().query().unwrap());
        match request.uri().path() {
            "/sleep" => sleep(Duration::from_millis(1)),
            "/yield" => yield_now(),
            "/body" => drop(request.into_body().into_text()?),
            "/stream" => {
                return Ok(Body::from_writer(move |out| {
                    out.write_all(b"begun")?;
                    out.flush()?;
                    sleep(Duration::from_millis(1));
                    out.write_all(mark.as_bytes())
                }));
            }
            "/large" => return Ok(Body::from(mark + &"x".repeat(100_000))),
            _ => {}
        }
        Ok(Body::from(mark))
    }
    within(|| {
        let addr = start(Server::default(), mixed);
        let clients = (0..16_u32).map(|seed| {
            thread::spawn(move || {
                let mut random = seed;
                let mut next = move |below: u32| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (random >> 16) % below
                };
                let kinds = ["/", "/", "/sleep", "/yield", "/body", "/stream", "/large"];
                let mut requests = String::new();
                for n in 0..100 {
                    let (kind, length) = (kinds[next(7) as usize], next(30));
                    requests += &format!(
                        "POST {kind}?{n} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}",
                        "b".repeat(length as usize)
                    );
                }
                requests += "GET /?100 HTTP/1.0\r\n\r\n";
                let mut stream = connect(addr);
                let mut reader = stream.try_clone().unwrap();
                let reading = thread::spawn(move || super::read_to_end(&mut reader));
                let mut rest = requests.as_bytes();
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at((next(2000) as usize + 1).min(rest.len()));
                    stream.write_all(piece).unwrap();
                    rest = after;
                    thread::sleep(Duration::from_micros(u64::from(next(500))));
                }
                let answers = reading.join().unwrap();
                let marks = answers.split('<').skip(1);
                let marks = marks.map(|rest| rest.split('>').next().unwrap().parse().unwrap());
                assert_eq!(marks.collect::<Vec<u32>>(), (0..=100).collect::<Vec<_>>());
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.join().unwrap();
        }
    });
}
