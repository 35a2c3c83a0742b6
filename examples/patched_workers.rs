//! Worker pattern: workers wait for jobs in Redis and compute them in Postgres, on one OS thread.
//!
//! ```text
//! cargo run --release --features patch --example patched_workers [REDIS_URL [POSTGRES_URL]]
//! ```
//!
//! The program needs a Redis server, by default `redis://127.0.0.1/`, and a Postgres server, by
//! default `postgresql://postgres@127.0.0.1/postgres`. Without the second, the workers only sleep.
//! Each of the ten workers waits in `BLPOP`, and each job takes 0.2 seconds. The crates redis and
//! postgres are unchanged, so one after another, the 20 jobs would take four seconds.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};
use redis::{Commands, Connection, RedisResult};

const WORKERS: usize = 10;
const JOBS: i64 = 20;
/// What a worker takes for the end of its jobs.
const END: i64 = -1;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let redis = args.next().unwrap_or("redis://127.0.0.1/".into());
    let database = args.next();
    let database = database.unwrap_or("postgresql://postgres@127.0.0.1/postgres".into());
    if let Err(error) = evy::patch::monkey_patch() {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    if let Err(error) = connect(&redis) {
        eprintln!("this example needs a Redis server at {redis}: {error}");
        return ExitCode::FAILURE;
    }
    match run(redis, database) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn connect(redis: &str) -> RedisResult<Connection> {
    redis::Client::open(redis)?.get_connection()
}

fn run(redis: String, database: String) -> Result<(), Box<dyn Error>> {
    // Another process may use the same server.
    let queue = format!("evy:jobs:{}", std::process::id());
    let results = format!("{queue}:results");
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (redis, database) = (redis.clone(), database.clone());
            let (queue, results) = (queue.clone(), results.clone());
            evy::spawn(move || work(&redis, &database, &queue, &results))
        })
        .collect();

    let start = Instant::now();
    let mut connection = connect(&redis)?;
    for job in (0..JOBS).chain([END; WORKERS]) {
        let _length: usize = connection.rpush(&queue, job)?;
    }
    for worker in workers {
        if let Err(error) = worker.join()? {
            eprintln!("a worker: {error}");
        }
    }
    let squares: Vec<i64> = connection.lrange(&results, 0, -1)?;
    let _keys: usize = connection.del(&[&queue, &results])?;
    let (count, sum) = (squares.len(), squares.iter().sum::<i64>());
    let seconds = start.elapsed().as_secs_f64();
    println!("{count} jobs in {seconds:.2} s, the sum of the squares is {sum}");
    Ok(())
}

/// Takes jobs from the queue until the end. Returns errors as text.
fn work(redis: &str, database: &str, queue: &str, results: &str) -> Result<(), String> {
    let mut jobs = connect(redis).map_err(|error| error.to_string())?;
    let mut database = Client::connect(database, NoTls)
        .inspect_err(|error| eprintln!("no Postgres, so this worker sleeps: {error}"))
        .ok();
    loop {
        let next: RedisResult<(String, i64)> = jobs.blpop(queue, 0.0);
        let (_, job) = next.map_err(|error| error.to_string())?;
        if job == END {
            return Ok(());
        }
        let square = square(database.as_mut(), job).map_err(|error| error.to_string())?;
        let pushed: RedisResult<usize> = jobs.rpush(results, square);
        pushed.map_err(|error| error.to_string())?;
    }
}

fn square(database: Option<&mut Client>, number: i64) -> Result<i64, postgres::Error> {
    let Some(database) = database else {
        std::thread::sleep(Duration::from_millis(200));
        return Ok(number * number);
    };
    database.batch_execute("SELECT pg_sleep(0.2)")?;
    let row = database.query_one("SELECT $1::int8 * $1::int8", &[&number])?;
    row.try_get(0)
}
