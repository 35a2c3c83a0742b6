//! Tries the tables of attacks on servers and clients, each input whole and split everywhere, and
//! prints what differs from the RFCs.

#[path = "../../../http/tests/attacks/answers.rs"]
mod answers;
mod clients;
mod servers;
#[expect(dead_code, reason = "every row is split everywhere")]
#[path = "../../../http/tests/attacks/table.rs"]
mod table;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use table::{Row, rows};

/// How many inputs are tried at the same time. Most of them wait.
const THREADS: usize = 64;

/// What a program waits for after this time does not come. Such an input is not split.
const SLOW: Duration = Duration::from_millis(500);

fn main() {
    let requests = rows(include_str!("../../../http/tests/attacks/requests.txt"));
    let responses = rows(include_str!("../../../http/tests/attacks/responses.txt"));
    let mut summary = String::from("| program | inputs | that deviate |\n| --- | --- | --- |\n");
    let mut report = |name: &str, rows: usize, deviations: Vec<String>| {
        println!("\n=== {name}\n");
        deviations
            .iter()
            .for_each(|deviation| println!("{deviation}"));
        summary += &format!("| {name} | {rows} | {} |\n", deviations.len());
    };
    for server in servers::start() {
        let deviations = deviations(&requests, |row| server.differences(row));
        report(server.name, requests.len(), deviations);
    }
    for client in clients::all() {
        let deviations = deviations(&responses, |row| client.differences(row));
        report(client.name, responses.len(), deviations);
    }
    println!("\n{summary}");
}

/// Returns a line for each row for which `differences` returns any.
fn deviations(rows: &[Row], differences: impl Fn(&Row) -> Vec<String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    thread::scope(|s| {
        for _ in 0..THREADS {
            s.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let differences = differences(row);
                    if !differences.is_empty() {
                        let input: String = row.input.escape_ascii().to_string();
                        let input: String = input.chars().take(160).collect();
                        let line = format!(
                            "line {} (RFC {}), {}: \"{input}\"",
                            row.line,
                            row.section,
                            differences.join("; ")
                        );
                        found
                            .lock()
                            .expect("no thread panics")
                            .push((row.line, line));
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().expect("no thread panics");
    found.sort();
    found.into_iter().map(|(_, line)| line).collect()
}

/// Returns how the outcomes of a row differ from what the RFC allows, and from one another.
/// `outcome_of` gets the length of the first piece, which is one of `cuts`, or all.
fn differences(
    row: &Row,
    length: usize,
    cuts: impl Iterator<Item = usize>,
    relevant: impl Fn(&str) -> String,
    outcome_of: impl Fn(usize) -> String,
) -> Vec<String> {
    let own = (!row.deviates).then_some(&row.outcome);
    let allowed = own.into_iter().chain(&row.alternatives);
    let allowed: Vec<String> = allowed.map(|outcome| relevant(outcome)).collect();
    let is_allowed = |outcome: &str| {
        allowed
            .iter()
            .any(|allowed| answers::allows(allowed, outcome))
    };
    let start = Instant::now();
    let whole = outcome_of(length);
    let is_slow = start.elapsed() > SLOW;
    let mut differences = Vec::new();
    if !is_allowed(&relevant(&whole)) {
        differences.push(format!("{whole} instead of {}", allowed.join(" or ")));
    }
    let cuts = cuts.filter(|&cut| !is_slow && (cut < 120 || cut + 120 > length));
    let different = cuts
        .map(|cut| (cut, outcome_of(cut)))
        .find(|(_, outcome)| relevant(outcome) != relevant(&whole));
    if let Some((cut, outcome)) = different {
        differences.push(format!("{outcome} if split at {cut}"));
    }
    differences
}
