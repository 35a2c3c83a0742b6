//! Measures evy against other runtimes: green threads, tasks and OS threads do the same work in one
//! run. With an argument, it measures servers under load instead.
//!
//! Markdown tables go to stdout, plots to `docs/plots`.
//!
//! ```text
//! cargo run --release -p evy-peers --features run
//! cargo run --release -p evy-peers --features run -- echo
//! cargo run --release -p evy-peers --features run -- http
//! ```
//!
//! Compare the ratios, not the nanoseconds, because the machine may be shared. The rounds alternate
//! between the peers, so that changes in its load affect all of them alike.

mod plot;
#[cfg(target_os = "linux")]
mod servers;
mod targets;
mod tasks;

fn main() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    if std::env::args().len() > 1 {
        let words: Vec<String> = std::env::args().skip(1).collect();
        return servers::command(&words);
    }
    tasks::run()
}
