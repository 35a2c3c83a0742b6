//! A web server in plain blocking style: a listener, and workers that take jobs out of a channel.
//!
//! `base` is std or evy. Nothing but this one word, in the lines that begin with `use`, tells which.

#![expect(clippy::unwrap_used, reason = "what a short program does")]

use super::base::{
    fs,
    io::{self, BufReader, prelude::*},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

/// What a worker is given to do.
type Job = Box<dyn FnOnce() + Send + 'static>;

/// A fixed number of workers that share one line of jobs.
pub(crate) struct ThreadPool {
    workers: Vec<Worker>,
    /// Taken away to tell the workers that there will be no more.
    jobs: Option<mpsc::Sender<Job>>,
}

impl ThreadPool {
    pub(crate) fn new(size: usize) -> Self {
        assert!(size > 0, "somebody must do the work");
        let (jobs, line) = mpsc::channel();
        let line = Arc::new(Mutex::new(line));
        let workers = (0..size)
            .map(|id| Worker::new(id, Arc::clone(&line)))
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
    fn new(id: usize, line: Arc<Mutex<mpsc::Receiver<Job>>>) -> Self {
        let name = format!("worker-{id}");
        let work = move || {
            loop {
                let next = line.lock().unwrap().recv();
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

/// Serves so many requests out of `folder`, and ends when all are answered. Says first where. A slow
/// one takes a `nap`.
pub(crate) fn serve(
    folder: &str,
    nap: Duration,
    requests: usize,
    listening: impl FnOnce(SocketAddr),
) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listening(listener.local_addr()?);
    let pool = ThreadPool::new(4);
    for stream in listener.incoming().take(requests) {
        let (stream, folder) = (stream?, folder.to_owned());
        pool.execute(move || answer(stream, &folder, nap).unwrap());
    }
    Ok(())
}

fn answer(mut stream: TcpStream, folder: &str, nap: Duration) -> io::Result<()> {
    let mut request = String::new();
    BufReader::new(&stream).read_line(&mut request)?;
    let (status, page) = match request.trim_end() {
        "GET / HTTP/1.1" => ("200 OK", "hello.html"),
        "GET /slow HTTP/1.1" => {
            thread::sleep(nap);
            ("200 OK", "hello.html")
        }
        _ => ("404 NOT FOUND", "missing.html"),
    };
    let body = fs::read_to_string(format!("{folder}/{page}"))?;
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all((head + &body).as_bytes())
}
