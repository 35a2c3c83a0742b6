//! Runtimes of tokio inside of green threads.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use crate::site::{self, PAGE};
use crate::{WAIT, at_once, patched, signals};

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn fetch(address: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 128];
    let len = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..len]).into_owned()
}

#[test]
fn ten_green_threads_run_a_current_thread_runtime_each() {
    patched(|| {
        let address = site::start();
        let pages = at_once(10, move |_| {
            current_thread().block_on(async move {
                tokio::time::sleep(WAIT).await;
                fetch(address).await
            })
        });
        assert!(pages.iter().all(|page| page.ends_with(PAGE)), "{pages:?}");
    });
}

#[test]
fn tasks_of_a_current_thread_runtime_stay_on_its_green_thread() {
    patched(|| {
        let names = at_once(20, |_| {
            let me = std::thread::current().id();
            current_thread().block_on(async move {
                let task = tokio::spawn(async {
                    tokio::time::sleep(WAIT * 2).await;
                    std::thread::current().id()
                });
                (task.await.unwrap(), me)
            })
        });
        assert!(names.iter().all(|(task, me)| task == me));
    });
}

#[test]
fn ten_green_threads_block_on_a_shared_runtime() {
    patched(|| {
        let mut runtime = Builder::new_multi_thread();
        let runtime = Arc::new(runtime.worker_threads(1).enable_all().build().unwrap());
        let address = site::start();
        let pages = at_once(10, move |_| {
            let blocking = runtime.spawn_blocking(|| std::thread::sleep(WAIT));
            runtime.block_on(async move {
                blocking.await.unwrap();
                fetch(address).await
            })
        });
        assert!(pages.iter().all(|page| page.ends_with(PAGE)), "{pages:?}");
    });
}

#[test]
fn tokio_waits_for_processes_and_signals() {
    patched(|| {
        let outputs = at_once(10, |index| {
            current_thread().block_on(async move {
                let script = format!("sleep 0.3; echo {index}");
                let mut command = tokio::process::Command::new("sh");
                command.args(["-c", &script]).output().await.unwrap().stdout
            })
        });
        assert_eq!(outputs[7], b"7\n");
        let sender = signals::send(signal_hook::consts::SIGHUP);
        at_once(10, |_| {
            current_thread().block_on(async {
                let kind = tokio::signal::unix::SignalKind::hangup();
                let mut signal = tokio::signal::unix::signal(kind).unwrap();
                signal.recv().await.unwrap();
            });
        });
        sender.kill();
    });
}

#[test]
fn blocking_calls_of_the_channels_of_tokio_park() {
    patched(|| {
        let sums = at_once(10, |_| {
            let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
            let other = evy::spawn(move || {
                for n in 0..20_u32 {
                    sender.blocking_send(n).unwrap();
                }
                std::thread::sleep(WAIT);
            });
            let mut sum = 0;
            while let Some(n) = receiver.blocking_recv() {
                sum += n;
            }
            other.join().unwrap();
            sum
        });
        assert_eq!(sums, [190; 10]);
    });
}

#[test]
fn a_runtime_of_tokio_moves_between_green_threads_and_os_threads() {
    patched(|| {
        let use_it = |runtime: Runtime| {
            runtime.block_on(async { tokio::time::sleep(WAIT / 10).await });
            runtime
        };
        let runtime = evy::spawn(current_thread).join().unwrap();
        let runtime = evy::spawn(move || use_it(runtime)).join().unwrap();
        let runtime = std::thread::spawn(move || use_it(runtime)).join().unwrap();
        let runtime = use_it(runtime);
        let task = runtime.spawn(async { 5 });
        let result = evy::spawn(move || runtime.block_on(task).unwrap());
        assert_eq!(result.join().unwrap(), 5);
    });
}

#[test]
fn pollster_blocks_on_what_other_threads_finish() {
    patched(|| {
        let values = at_once(20, |index| {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let finish = move || {
                std::thread::sleep(WAIT);
                sender.send(index).unwrap();
            };
            match index % 2 {
                0 => evy::spawn_n(finish),
                _ => drop(std::thread::spawn(finish)),
            }
            pollster::block_on(receiver).unwrap()
        });
        assert_eq!(values, (0..20).collect::<Vec<_>>());
    });
}
