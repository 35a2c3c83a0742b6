//! Tests in a patched process: what blocks elsewhere parks here.

mod lock_crates;
mod locks;
mod native;
mod sockets;
mod stress;
mod time;

use std::time::{Duration, Instant};

use evy::thread::JoinHandle;

/// Patches the process. Returns `false`, and says why, where that does not work.
fn is_patched() -> bool {
    match evy::patch::monkey_patch() {
        Ok(()) => true,
        Err(error) => {
            println!("skipped: {error}");
            false
        }
    }
}

/// Runs `f` on `count` green threads at once. Each takes `time`. Checks that together they take hardly
/// longer, and that a green thread that ticks meanwhile is not held up.
fn at_once<T: 'static>(
    count: usize,
    time: Duration,
    f: impl Fn(usize) -> T + Clone + 'static,
) -> Vec<T> {
    let start = Instant::now();
    let ticker = evy::spawn(move || {
        let mut longest = Duration::ZERO;
        loop {
            let before = Instant::now();
            evy::sleep(Duration::from_millis(5));
            longest = longest.max(before.elapsed());
            TICKS.with(|ticks| ticks.set(longest));
        }
    });
    let all: Vec<JoinHandle<T>> = (0..count)
        .map(|index| {
            let f = f.clone();
            evy::spawn(move || f(index))
        })
        .collect();
    let results = all
        .into_iter()
        .map(|handle| handle.join().unwrap())
        .collect();
    ticker.kill();
    let limit = time * (count as u32).min(4) / 2 + Duration::from_secs(1);
    assert!(
        start.elapsed() < limit.max(time * 2),
        "{:?}",
        start.elapsed()
    );
    results
}

evy::thread_local!(static TICKS: std::cell::Cell<Duration> = std::cell::Cell::new(Duration::ZERO));
