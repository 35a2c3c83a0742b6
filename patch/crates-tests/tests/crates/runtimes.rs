//! Runtimes of tokio inside of green threads.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use crate::site::{self, PAGE};
use crate::{WAIT, at_once, patched};

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
