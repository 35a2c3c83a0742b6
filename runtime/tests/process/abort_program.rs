//! A program that cannot unwind, which checks the effects of kills and timeouts. `abort.rs` builds
//! and runs it.

use std::time::{Duration, Instant};

use evy_runtime::{Event, Queue, Semaphore, shutdown, sleep, spawn, spawn_n, thread, timeout};

const SHORT: Duration = Duration::from_millis(10);
const LONGER: Duration = Duration::from_millis(50);

fn main() {
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(60));
        eprintln!("the program hangs");
        std::process::exit(1);
    });

    // A timeout has no effect on an operation that cannot fail.
    let start = Instant::now();
    assert!(timeout(SHORT, || sleep(LONGER)).is_ok());
    assert!(start.elapsed() >= LONGER);

    let queue = Queue::unbounded();
    let putter = queue.clone();
    spawn_n(move || {
        sleep(LONGER);
        putter.put(1);
    });
    assert_eq!(timeout(SHORT, || queue.get()), Ok(1));

    // A kill has no effect on it either: the green thread continues to wait.
    let killed = spawn(move || queue.get());
    sleep(SHORT);
    killed.kill();
    assert!(killed.join_timeout(SHORT).is_err());

    // A green thread that is killed before its start does not start.
    let unstarted = spawn(|| unreachable!());
    unstarted.kill();
    assert!(unstarted.join().unwrap_err().is_killed());

    // A shutdown completes.
    spawn_n(|| Semaphore::new(0).acquire());
    spawn_n(|| Event::<()>::new().wait().expect("no value is sent"));
    spawn_n(|| sleep(Duration::from_secs(3600)));
    spawn_n(|| {
        loop {
            thread::park();
        }
    });
    assert_eq!(shutdown(SHORT), 5);
}
