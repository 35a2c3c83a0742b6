//! What a program that cannot unwind does with kills and timeouts; built and run by `abort.rs`.

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

    // A timeout has no effect on what cannot fail.
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

    // Nor has a kill: it goes on to wait for what it waits for.
    let killed = spawn(move || queue.get());
    sleep(SHORT);
    killed.kill();
    assert!(killed.join_timeout(SHORT).is_err());

    // Whoever never started does not start.
    let unstarted = spawn(|| unreachable!());
    unstarted.kill();
    assert!(unstarted.join().unwrap_err().is_killed());

    // And a shutdown comes to its end.
    spawn_n(|| Semaphore::new(0).acquire());
    spawn_n(|| Event::<()>::new().wait().expect("nobody sends"));
    spawn_n(|| sleep(Duration::from_secs(3600)));
    spawn_n(|| {
        loop {
            thread::park();
        }
    });
    assert_eq!(shutdown(SHORT), 5);
}
