//! Repeats one operation a given number of times, so that its instructions can be counted.

use std::env;
use std::hint::black_box;
use std::process::ExitCode;

use evy_runtime::{Queue, spawn, spawn_n, yield_now};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [operation, count] = arguments.as_slice() else {
        eprintln!("usage: instructions OPERATION COUNT");
        return ExitCode::FAILURE;
    };
    let Ok(count) = count.parse() else {
        eprintln!("not a number: {count}");
        return ExitCode::FAILURE;
    };
    match operation.as_str() {
        "yield_now" => yields(count),
        "spawn_n" => {
            for _ in 0..count {
                spawn_n(|| _ = black_box(1));
                yield_now();
            }
        }
        "spawn_join" => {
            for _ in 0..count {
                black_box(spawn(|| black_box(1)).join().ok());
            }
        }
        "queue" => messages(count),
        _ => {
            eprintln!("no such operation: {operation}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Two green threads take turns.
fn yields(count: usize) {
    let turns = move || (0..count / 2).for_each(|_| yield_now());
    let other = spawn(turns);
    turns();
    other.join().ok();
}

/// Each number goes to another green thread and back.
fn messages(count: usize) {
    let (there, back) = (Queue::bounded(0), Queue::bounded(0));
    let (received, answers) = (there.clone(), back.clone());
    let other = spawn(move || {
        for _ in 0..count {
            let number: usize = received.get();
            answers.put(number);
        }
    });
    for number in 0..count {
        there.put(number);
        black_box(back.get());
    }
    other.join().ok();
}
