//! A slice of load on one server, and its results.
//!
//! Each server has a load process, which keeps its connections open while other servers are
//! measured. The load process reads the length of the next slice from stdin, and prints the
//! results.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::Workload;
use super::cpu_affinity::{Cores, Process, cpu};
use evy_load::{Load, Target};

/// The results of one slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// The processor time of the server.
    pub(super) cpu: Duration,
    pub(super) elapsed: Duration,
    pub(super) requests: u64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

impl Sample {
    /// Returns the nanoseconds of processor time for each request.
    pub(super) fn cost(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.requests as f64
    }

    pub(super) fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    /// Returns the fraction of its core that the server has used.
    pub(super) fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    fn from_line(line: &str) -> Option<Self> {
        let mut numbers = line.split(' ').map(|word| word.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        Some(Self {
            requests: next()?,
            elapsed: Duration::from_nanos(next()?),
            cpu: Duration::from_nanos(next()?),
            p50: Duration::from_nanos(next()?),
            p99: Duration::from_nanos(next()?),
        })
    }

    fn to_line(self) -> String {
        let [elapsed, cpu, p50, p99] =
            [self.elapsed, self.cpu, self.p50, self.p99].map(|time| time.as_nanos());
        format!("{} {elapsed} {cpu} {p50} {p99}", self.requests)
    }
}

/// A server and its load.
#[derive(Debug)]
pub(super) struct Pair {
    load: Process,
    /// Declared after `load`, so that it is killed after it.
    _server: Process,
}

impl Pair {
    pub(super) fn start(
        cores: Cores,
        workload: &str,
        peer: &str,
        connections: usize,
    ) -> io::Result<Self> {
        let words = ["serve", workload, peer, "127.0.0.1:0"];
        let mut server = Process::start(cores.server, &words)?;
        let line = server.line()?;
        let addr = line.rsplit(' ').next().unwrap_or_default();
        let (id, connections) = (server.id().to_string(), connections.to_string());
        let words = ["load", workload, addr, &connections, &id];
        let mut load = Process::start(cores.load, &words)?;
        // The load prints a line when it is connected.
        load.line()?;
        Ok(Self {
            load,
            _server: server,
        })
    }

    /// Measures for `duration`.
    pub(super) fn slice(&mut self, duration: Duration) -> io::Result<Sample> {
        writeln!(self.load.input, "{}", duration.as_secs_f64())?;
        let line = self.load.line()?;
        Sample::from_line(&line).ok_or_else(|| io::Error::other(line))
    }
}

/// Runs the load process: opens `connections` to `addr`, and measures a slice for each line of
/// stdin, until its end.
pub(super) fn generate(
    workload: &Workload,
    addr: SocketAddr,
    connections: usize,
    server: u32,
) -> io::Result<()> {
    let target = (workload.target)(addr);
    let together = match target {
        Target::Http { pipelined, .. } => pipelined,
        Target::Echo { .. } => 1,
    };
    let mut load = Load::connect(&target, connections)?;
    println!("connected");
    // The warm-up is long enough for some requests on each connection.
    let warm_up = Duration::from_millis(100) + Duration::from_micros(20) * connections as u32;
    for line in io::stdin().lines() {
        let seconds = line?.parse().map_err(io::Error::other)?;
        let mut edges = Vec::new();
        let report = load.run(warm_up, Duration::from_secs_f64(seconds), || {
            edges.push(cpu(server)?);
            Ok(())
        })?;
        let sample = Sample {
            cpu: edges[1] - edges[0],
            elapsed: report.elapsed,
            requests: report.latencies.count() * together as u64,
            p50: report.latencies.quantile(0.5),
            p99: report.latencies.quantile(0.99),
        };
        println!("{}", sample.to_line());
    }
    Ok(())
}
