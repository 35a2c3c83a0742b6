//! What evy is measured against: green threads, tasks and OS threads that do the same work in one
//! run, and, with a word more, servers under load. Markdown tables go to stdout, plots to `docs/plots`.
//!
//! ```text
//! cargo run --release -p evy-peers --features run
//! cargo run --release -p evy-peers --features run -- echo
//! cargo run --release -p evy-peers --features run -- http
//! ```
//!
//! Read the ratios, not the nanoseconds: the machine is shared, and the rounds alternate between the
//! peers so that its moods hit all of them.

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
