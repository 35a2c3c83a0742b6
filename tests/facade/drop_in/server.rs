//! A web server in plain blocking style: a listener, and workers that receive jobs from a channel.
//!
//! `base` is std or evy. This one word, in the lines that begin with `use`, is the only difference.

#![expect(clippy::unwrap_used, reason = "as in any short program")]

use super::base::{
    fs,
    io::{self, BufReader, prelude::*},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

/// A job for a worker.
type Job = Box<dyn FnOnce() + Send + 'static>;

/// A fixed number of workers that receive jobs from one channel.
pub(crate) struct ThreadPool {
    workers: Vec<Worker>,
    /// Dropped to end the workers: their channel is then disconnected.
    jobs: Option<mpsc::Sender<Job>>,
}

impl ThreadPool {
    pub(crate) fn new(size: usize) -> Self {
        assert!(size > 0, "a pool needs at least one worker");
        let (jobs, receiver) = mpsc::channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let workers = (0..size)
            .map(|id| Worker::new(id, Arc::clone(&receiver)))
            .collect();
        Self {
            workers,
            jobs: Some(jobs),
        }
    }

    pub(crate) fn execute<F>(&self, f: F)
    where
        F: FnOnce() + Send + 'static,
    {
        let jobs = self.jobs.as_ref().unwrap();
        jobs.send(Box::new(f)).unwrap();
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        drop(self.jobs.take());
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                thread.join().unwrap();
            }
        }
    }
}

struct Worker {
    thread: Option<thread::JoinHandle<()>>,
}

impl Worker {
    fn new(id: usize, receiver: Arc<Mutex<mpsc::Receiver<Job>>>) -> Self {
        let name = format!("worker-{id}");
        let work = move || {
            loop {
                let next = receiver.lock().unwrap().recv();
                let Ok(job) = next else { break };
                job();
            }
        };
        let thread = thread::Builder::new().name(name).spawn(work).unwrap();
        Self {
            thread: Some(thread),
        }
    }
}

/// Answers `requests` requests with pages of `folder`, and returns when all are answered. Calls
/// `listening` with its address first. A slow request takes `delay`.
pub(crate) fn serve(
    folder: &str,
    delay: Duration,
    requests: usize,
    listening: impl FnOnce(SocketAddr),
) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listening(listener.local_addr()?);
    let pool = ThreadPool::new(4);
    for stream in listener.incoming().take(requests) {
        let (stream, folder) = (stream?, folder.to_owned());
        pool.execute(move || answer(stream, &folder, delay).unwrap());
    }
    Ok(())
}

fn answer(mut stream: TcpStream, folder: &str, delay: Duration) -> io::Result<()> {
    let mut request = String::new();
    BufReader::new(&stream).read_line(&mut request)?;
    let (status, page) = match request.trim_end() {
        "GET / HTTP/1.1" => ("200 OK", "hello.html"),
        "GET /slow HTTP/1.1" => {
            thread::sleep(delay);
            ("200 OK", "hello.html")
        }
        _ => ("404 NOT FOUND", "missing.html"),
    };
    let body = fs::read_to_string(format!("{folder}/{page}"))?;
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all((head + &body).as_bytes())
}
