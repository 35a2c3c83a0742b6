//! More locks, channels and pools of crates.

use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use crate::{WAIT, at_once, patched};

#[test]
fn channels_of_async_channel_block_where_asked_to() {
    patched(|| {
        let sums = at_once(10, |_| {
            let (sender, receiver) = async_channel::bounded(1);
            let other = evy::spawn(move || {
                for n in 0..50_u32 {
                    sender.send_blocking(n).unwrap();
                }
                sleep(WAIT);
            });
            let all = std::iter::from_fn(|| receiver.recv_blocking().ok());
            let sum: u32 = all.sum();
            other.join().unwrap();
            sum
        });
        assert_eq!(sums, [1225; 10]);
    });
}

#[test]
fn a_pool_of_threadpool_is_waited_for() {
    patched(|| {
        let pool = threadpool::ThreadPool::new(20);
        at_once(10, move |_| {
            let (sender, receiver) = std::sync::mpsc::channel();
            for _ in 0..2 {
                let sender = sender.clone();
                pool.execute(move || {
                    sleep(WAIT);
                    sender.send(()).unwrap();
                });
            }
            drop(sender);
            assert_eq!(receiver.iter().count(), 2);
            pool.join();
        });
    });
}

/// The writer of the log has a queue of two lines, and is slow.
#[test]
fn a_full_queue_of_tracing_appender_is_waited_for() {
    use tracing_appender::non_blocking::NonBlockingBuilder;

    struct Slow;

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            sleep(Duration::from_millis(1));
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    patched(|| {
        let builder = NonBlockingBuilder::default().lossy(false);
        let (log, _guard) = builder.buffered_lines_limit(2).finish(Slow);
        at_once(20, move |_| {
            let mut log = log.clone();
            for _ in 0..5 {
                log.write_all(b"line\n").unwrap();
            }
            sleep(WAIT);
        });
    });
}

#[test]
fn a_map_of_dashmap_may_be_locked_while_parked() {
    patched(|| {
        let map = std::sync::Arc::new(dashmap::DashMap::<_, _>::from_iter([("key", 0)]));
        let each = map.clone();
        at_once(20, move |_| {
            let mut value = each.get_mut("key").unwrap();
            sleep(Duration::from_millis(5));
            *value += 1;
            drop(value);
            sleep(WAIT);
        });
        assert_eq!(*map.get("key").unwrap(), 20);
    });
}

#[test]
fn twenty_green_threads_wait_for_one_of_them_to_fill_a_cache_of_moka() {
    patched(|| {
        let cache = moka::sync::Cache::new(10);
        let values = at_once(20, move |index| {
            cache.get_with("key", || {
                sleep(WAIT);
                index
            })
        });
        assert_eq!(values, [values[0]; 20]);
    });
}
