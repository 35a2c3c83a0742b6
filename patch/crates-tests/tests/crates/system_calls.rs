//! Crates that make system calls through rustix, which calls the C library with its feature
//! `use-libc`.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use crate::{WAIT, at_once, patched};

const SHORT: Duration = Duration::from_millis(5);

fn new_file(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("evy-{name}-{}", std::process::id()));
    File::create(&path).unwrap();
    path
}

#[test]
fn smol_blocks_on_timers_sockets_and_processes() {
    patched(|| {
        at_once(10, |_| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = evy::spawn(move || {
                let (mut peer, _) = listener.accept().unwrap();
                sleep(WAIT);
                peer.write_all(b"text").unwrap();
            });
            smol::block_on(async {
                use smol::io::AsyncReadExt;
                let mut text = String::new();
                let mut socket = smol::net::TcpStream::connect(address).await.unwrap();
                socket.read_to_string(&mut text).await.unwrap();
                assert_eq!(text, "text");
                smol::Timer::after(WAIT).await;
                let mut command = smol::process::Command::new("sh");
                let output = command.args(["-c", "sleep 0.2; echo text"]).output();
                assert_eq!(output.await.unwrap().stdout, b"text\n");
            });
            server.join().unwrap();
        });
    });
}

#[test]
fn locks_of_fd_lock_park() {
    patched(|| {
        let path = new_file("fd-lock");
        let each = path.clone();
        at_once(10, move |_| {
            let mut lock = fd_lock::RwLock::new(File::open(&each).unwrap());
            let locked = lock.write().unwrap();
            sleep(SHORT);
            drop(locked);
            sleep(WAIT);
        });
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn locks_of_fs4_park() {
    patched(|| {
        let path = new_file("fs4");
        let each = path.clone();
        at_once(10, move |_| {
            let file = File::open(&each).unwrap();
            fs4::FileExt::lock(&file).unwrap();
            sleep(SHORT);
            fs4::FileExt::unlock(&file).unwrap();
            sleep(WAIT);
        });
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn ten_green_threads_wait_for_queues_and_pipes_of_nix() {
    use nix::mqueue::{MQ_OFlag, MqAttr, mq_open, mq_receive, mq_send, mq_unlink};
    use nix::sys::stat::Mode;

    patched(|| {
        at_once(5, |index| {
            let name = format!("/evy-nix-{}-{index}", std::process::id());
            let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_RDWR;
            let attributes = MqAttr::new(0, 1, 8, 0);
            let open = || mq_open(name.as_str(), flags, Mode::S_IRWXU, Some(&attributes));
            let (queue, other) = (open().unwrap(), open().unwrap());
            mq_unlink(name.as_str()).unwrap();
            let sender = evy::spawn(move || {
                sleep(WAIT);
                for _ in 0..3 {
                    mq_send(&other, b"text", 1).unwrap();
                }
            });
            for _ in 0..3 {
                assert_eq!(mq_receive(&queue, &mut [0; 8], &mut 0).unwrap(), 4);
            }
            sender.join().unwrap();
        });
        at_once(10, |index| {
            let path = std::env::temp_dir().join(format!("evy-nix-{}-{index}", std::process::id()));
            nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
            let other = path.clone();
            let writer = evy::spawn(move || {
                sleep(WAIT);
                std::fs::write(other, "text").unwrap();
            });
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
            writer.join().unwrap();
            std::fs::remove_file(path).unwrap();
        });
    });
}

#[test]
fn ten_green_threads_wait_with_a_signal_mask_of_nix() {
    use nix::sys::signal::SigSet;
    use nix::sys::time::{TimeSpec, TimeValLike};

    patched(|| {
        let time = TimeSpec::milliseconds(WAIT.as_millis() as i64);
        at_once(10, move |_| {
            let ready = nix::poll::ppoll(&mut [], Some(time), Some(SigSet::empty()));
            assert_eq!(ready.unwrap(), 0);
        });
    });
}

/// serialport waits with `ppoll` and a signal mask.
#[test]
fn serial_ports_are_read_with_a_timeout() {
    use serialport::{SerialPort, TTYPort};

    patched(|| {
        at_once(10, |_| {
            let (mut here, mut there) = TTYPort::pair().unwrap();
            here.set_timeout(Duration::from_secs(20)).unwrap();
            let writer = evy::spawn(move || {
                sleep(WAIT);
                there.set_timeout(Duration::from_secs(20)).unwrap();
                there.write_all(b"text").unwrap();
                there
            });
            here.read_exact(&mut [0; 4]).unwrap();
            here.set_timeout(WAIT).unwrap();
            let late = here.read(&mut [0; 4]).unwrap_err();
            assert_eq!(late.kind(), std::io::ErrorKind::TimedOut);
            writer.join().unwrap();
        });
    });
}

#[test]
fn ten_green_threads_watch_folders_with_notify() {
    use notify::{RecursiveMode, Watcher};

    patched(|| {
        at_once(10, |index| {
            let folder = std::env::temp_dir();
            let folder = folder.join(format!("evy-notify-{}-{index}", std::process::id()));
            std::fs::create_dir(&folder).unwrap();
            let (sender, receiver) = std::sync::mpsc::channel();
            let mut watcher = notify::recommended_watcher(sender).unwrap();
            watcher.watch(&folder, RecursiveMode::NonRecursive).unwrap();
            let file = folder.join("file");
            let writer = evy::spawn(move || {
                sleep(WAIT);
                File::create(file).unwrap();
            });
            receiver.recv().unwrap().unwrap();
            writer.join().unwrap();
            std::fs::remove_dir_all(folder).unwrap();
        });
    });
}
