//! Scale: many green threads on one OS thread, all parked, then all woken.
//!
//! ```text
//! cargo run --release --example million            # 100,000 green threads
//! cargo run --release --example million 1000000
//! ```
//!
//! Prints the time and the memory that each green thread takes. The memory is the resident memory
//! plus its page tables, as the kernel counts them.

use std::cell::Cell;
use std::error::Error;
use std::fs;
use std::rc::Rc;
use std::time::Instant;

use evy::{Event, spawn_n, yield_now};

/// Returns a field of `/proc/self/status`, in bytes.
fn status(field: &str) -> Result<u64, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find(|line| line.starts_with(field));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(number
        .ok_or("the kernel does not report the memory of this process")?
        .parse::<u64>()?
        * 1024)
}

fn memory() -> Result<u64, Box<dyn Error>> {
    Ok(status("VmRSS:")? + status("VmPTE:")?)
}

fn mappings() -> Result<usize, Box<dyn Error>> {
    Ok(fs::read_to_string("/proc/self/maps")?.lines().count())
}

fn main() -> Result<(), Box<dyn Error>> {
    let count: u32 = std::env::args()
        .nth(1)
        .map_or(Ok(100_000), |number| number.parse())?;
    let each = |begin: Instant| begin.elapsed().as_nanos() / u128::from(count.max(1));

    // The first evy call starts the scheduler. Its memory must not count for the green threads.
    yield_now();
    let (memory_before, mappings_before) = (memory()?, mappings()?);

    let gate = Event::new();
    let through = Rc::new(Cell::new(0));
    let begin = Instant::now();
    for _ in 0..count {
        let (gate, through) = (gate.clone(), Rc::clone(&through));
        spawn_n(move || {
            gate.wait().expect("the gate opens");
            through.set(through.get() + 1);
        });
    }
    println!("spawned {count}: {} ns each", each(begin));

    let begin = Instant::now();
    yield_now();
    println!("all ran and parked: {} ns each", each(begin));

    let bytes = memory()?.saturating_sub(memory_before) / u64::from(count.max(1));
    let new_mappings = mappings()?.saturating_sub(mappings_before);
    println!("memory: {bytes} bytes each, {new_mappings} mappings added");

    let begin = Instant::now();
    gate.send(())?;
    yield_now();
    println!("all woken and finished: {} ns each", each(begin));
    println!("through the gate: {}", through.get());
    Ok(())
}
