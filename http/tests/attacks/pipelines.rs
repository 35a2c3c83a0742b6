//! Valid requests in a row, at random: however the bytes arrive, the answers are the same.

use evy_http::Server;
use evy_test_support::{is_emulated, within};
use fastrand::Rng;

use super::answers::escape;
use super::requests::outcome_of;

/// Returns the bytes of a request, and the outcome of it.
fn request(random: &mut Rng) -> (Vec<u8>, String) {
    let mut head = "\r\n".repeat(random.usize(..3));
    let has_body = random.bool();
    let method = if has_body { "POST" } else { "GET" };
    let version = random.choice(["1.1", "1.1", "1.2"]).unwrap();
    head += &format!("{method} /x HTTP/{version}\r\n");
    let mut fields = vec!["Host: a".to_owned()];
    for _ in 0..random.usize(..4) {
        let space = random.choice(["", " ", "\t "]).unwrap();
        let value = random.choice(["", "y", "y z", "Content-Length: 5", "\u{e4}"]);
        fields.push(format!("X:{space}{}{space}", value.unwrap()));
    }
    let expects = has_body && random.u8(..8) == 0;
    if expects {
        fields.push("Expect: 100-continue".to_owned());
    }
    let mut body = Vec::new();
    let mut content = Vec::new();
    if has_body {
        // Much of what a body may contain is framing elsewhere.
        let words = [
            "hello",
            "\r\n",
            "0\r\n\r\n",
            "GET /x HTTP/1.1\r\n",
            "\n",
            "5;",
            "Host: a",
        ];
        for _ in 0..random.usize(..6) {
            content.extend_from_slice(random.choice(words).unwrap().as_bytes());
        }
        if random.bool() {
            fields.push(format!("Content-Length: {}", content.len()));
            body.extend_from_slice(&content);
        } else {
            fields.push("Transfer-Encoding: chunked".to_owned());
            body = chunks(&content, random);
        }
    }
    random.shuffle(&mut fields);
    for field in fields {
        head += &field;
        head += "\r\n";
    }
    let is_empty = content.is_empty();
    let content = escape(&String::from_utf8(content).unwrap());
    let mut outcome = if is_empty {
        "200".to_owned()
    } else {
        format!("200={content}")
    };
    if expects && !body.is_empty() {
        outcome = format!("100 {outcome}");
    }
    head += "\r\n";
    let bytes = [head.as_bytes(), &body].concat();
    (bytes, outcome)
}

fn chunks(content: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(random.usize(1..=rest.len()));
        let extension = random.choice(["", "", ";x", ";x=\"y z\""]).unwrap();
        let zeros = "0".repeat(random.usize(..3));
        bytes.extend_from_slice(format!("{zeros}{:X}{extension}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
        rest = after;
    }
    let trailer = random.choice(["", "", "X: y\r\n", "X:\r\nContent-Length: 5\r\n"]);
    bytes.extend_from_slice(format!("0\r\n{}\r\n", trailer.unwrap()).as_bytes());
    bytes
}

fn pieces<'a>(bytes: &'a [u8], random: &mut Rng) -> Vec<&'a [u8]> {
    let longest = random.usize(1..200);
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(random.usize(1..=longest).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

#[test]
fn any_split_of_valid_requests_yields_the_same_answers() {
    within(|| {
        let server = Server::default();
        for seed in 0..if is_emulated() { 20 } else { 300 } {
            let mut random = Rng::with_seed(seed);
            let count = random.usize(1..40);
            let (requests, outcomes): (Vec<_>, Vec<_>) =
                (0..count).map(|_| request(&mut random)).unzip();
            let (bytes, expected) = (requests.concat(), outcomes.join(" "));
            for _ in 0..5 {
                let pieces = pieces(&bytes, &mut random);
                assert_eq!(outcome_of(&server, &pieces), expected, "seed {seed}");
            }
            assert_eq!(
                outcome_of(&server, &[&bytes]),
                expected,
                "seed {seed}, whole"
            );
        }
    });
}
