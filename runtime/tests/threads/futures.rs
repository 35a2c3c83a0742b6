//! Tests of `block_on` with futures that are woken by green threads, by other OS threads, and by an
//! async runtime on another OS thread.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use evy_runtime::{block_on, sleep, spawn, timeout, yield_now};
use evy_test_support::{shares_thread_locals, within};

#[test]
fn block_on_returns_the_output_of_a_ready_future() {
    within(|| assert_eq!(block_on(async { "now" }), "now"));
}

#[test]
fn green_threads_communicate_through_an_async_channel() {
    within(|| {
        let (sender, receiver) = async_channel::bounded(1);
        let producer = spawn(move || {
            for n in 0..1000 {
                block_on(sender.send(n)).unwrap();
            }
        });
        let mut sum = 0;
        while let Ok(n) = block_on(receiver.recv()) {
            sum += n;
        }
        producer.join().unwrap();
        assert_eq!(sum, 499_500);
    });
}

#[test]
fn other_os_threads_wake_a_future() {
    within(|| {
        let (sender, receiver) = async_channel::unbounded();
        let os_thread = std::thread::spawn(move || {
            for n in 0..10_000 {
                sender.send_blocking(n).unwrap();
            }
        });
        let consumers: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                spawn(move || {
                    let mut sum = 0u64;
                    while let Ok(n) = block_on(receiver.recv()) {
                        sum += n;
                    }
                    sum
                })
            })
            .collect();
        let sum: u64 = consumers.into_iter().map(|c| c.join().unwrap()).sum();
        assert_eq!(sum, 10_000 * 9_999 / 2);
        os_thread.join().unwrap();
    });
}

#[test]
fn a_oneshot_message_arrives_from_an_os_thread() {
    within(|| {
        for n in 0..200 {
            let (sender, receiver) = futures_channel::oneshot::channel();
            let os_thread = std::thread::spawn(move || sender.send(n).unwrap());
            let others = spawn(yield_now);
            assert_eq!(block_on(receiver), Ok(n));
            others.join().unwrap();
            os_thread.join().unwrap();
        }
    });
}

#[test]
fn a_green_thread_awaits_a_task_on_a_tokio_runtime_of_another_os_thread() {
    within(|| {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (handles, handle) = std::sync::mpsc::channel();
        let os_thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            handles.send(runtime.handle().clone()).unwrap();
            runtime.block_on(stopped).ok();
        });
        let tokio = handle.recv().unwrap();
        let tasks: Vec<_> = (0..20)
            .map(|n| {
                let tokio = tokio.clone();
                spawn(move || {
                    let task = tokio.spawn(async move {
                        tokio::time::sleep(Duration::from_millis(n % 5)).await;
                        n * n
                    });
                    block_on(task).unwrap()
                })
            })
            .collect();
        let sum: u64 = tasks.into_iter().map(|task| task.join().unwrap()).sum();
        assert_eq!(sum, 2470);
        stop.send(()).unwrap();
        os_thread.join().unwrap();
    });
}

/// As the docs of `block_on` advise: the runtime is entered once, before the green threads are spawned.
#[test]
fn green_threads_use_the_timers_of_a_tokio_runtime_that_their_os_thread_has_entered() {
    if !shares_thread_locals() {
        return;
    }
    within(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let entered = runtime.enter();
        let tasks: Vec<_> = (0..20)
            .map(|n| {
                spawn(move || {
                    block_on(async {
                        tokio::time::sleep(Duration::from_millis(n % 5)).await;
                        tokio::spawn(async move { n }).await.unwrap()
                    })
                })
            })
            .collect();
        let sum: u64 = tasks.into_iter().map(|task| task.join().unwrap()).sum();
        assert_eq!(sum, 190);
        drop(entered);
        runtime.shutdown_background();
    });
}

#[test]
fn a_poll_may_park_and_a_future_may_wake_itself() {
    within(|| {
        let mut polls = 0;
        let polled = block_on(poll_fn(move |context| {
            polls += 1;
            sleep(Duration::from_millis(1));
            context.waker().wake_by_ref();
            if polls == 10 {
                Poll::Ready(polls)
            } else {
                Poll::Pending
            }
        }));
        assert_eq!(polled, 10);
    });
}

#[test]
fn a_kill_or_an_expired_timeout_drops_the_future() {
    /// A future that is never ready, and sends a message when it is dropped.
    struct PendingForever(std::sync::mpsc::Sender<()>);
    impl Future for PendingForever {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }
    impl Drop for PendingForever {
        fn drop(&mut self) {
            self.0.send(()).ok();
        }
    }
    within(|| {
        let (dropped, drops) = std::sync::mpsc::channel();
        let for_victim = dropped.clone();
        let victim = spawn(move || block_on(PendingForever(for_victim)));
        yield_now();
        victim.kill();
        assert_eq!(drops.try_recv(), Ok(()));
        let late = timeout(Duration::from_millis(5), || {
            block_on(PendingForever(dropped));
        });
        assert!(late.is_err());
        assert_eq!(drops.try_recv(), Ok(()));
    });
}

#[test]
fn a_panic_of_the_future_unwinds_out_of_block_on() {
    within(|| {
        let child = spawn(|| block_on(async { panic!("inside") }));
        let payload = child.join().unwrap_err().into_panic();
        assert_eq!(payload.downcast_ref(), Some(&"inside"));
    });
}

#[test]
fn block_on_may_be_the_first_evy_call_on_an_os_thread() {
    within(|| {
        let (sender, receiver) = futures_channel::oneshot::channel();
        let os_thread = std::thread::spawn(move || {
            sleep(Duration::from_millis(20));
            sender.send(1).unwrap();
        });
        assert_eq!(block_on(receiver), Ok(1));
        os_thread.join().unwrap();
    });
}
