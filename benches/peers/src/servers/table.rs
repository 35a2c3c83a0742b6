//! Samples become medians, and medians a Markdown table.

use super::sample::Sample;

/// Tells of a sample while others are still to come.
pub(super) fn progress(peer: &str, sample: Option<&Sample>) {
    match sample {
        Some(sample) => eprintln!(
            "    {peer:<6} {:>6.0} ns a request, {:>7.0} a second, {:>3.0} % of its core",
            sample.cost(),
            sample.per_second(),
            sample.busy() * 100.0
        ),
        None => eprintln!("    {peer:<6} has failed"),
    }
}

/// The first lines of the table.
pub(super) fn head() {
    println!(
        "| connections | peer | CPU ns a request | to the first | requests a second | core used | p50 us | p99 us |"
    );
    println!("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
}

/// A line for each peer: medians over the rounds, and the median of the ratios of each round.
///
/// `core used` is to be read beside the costs: a server that waits for requests pays for each wait,
/// and finds fewer requests after it, so that it looks dearer than it would be under full load.
pub(super) fn rows(connections: usize, peers: &[&str], rounds: &[Vec<Option<Sample>>]) {
    for (at, peer) in peers.iter().enumerate() {
        let of_all = |value: &dyn Fn(&Sample) -> f64| {
            median(
                rounds
                    .iter()
                    .filter_map(|round| round[at].as_ref())
                    .map(value),
            )
        };
        let ratios = rounds.iter().filter_map(|round| {
            let (limit, own) = (round[0].as_ref()?, round[at].as_ref()?);
            Some(own.cost() / limit.cost())
        });
        println!(
            "| {connections} | {peer} | {:.0} | {:.2} | {:.0} | {:.0} % | {:.0} | {:.0} |",
            of_all(&Sample::cost),
            median(ratios),
            of_all(&Sample::per_second),
            of_all(&Sample::busy) * 100.0,
            of_all(&|sample| sample.p50.as_secs_f64() * 1e6),
            of_all(&|sample| sample.p99.as_secs_f64() * 1e6),
        );
    }
}

/// Not a number where there are none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
