//! Target ratios, and whether a run has met them.

/// The cost of one thing relative to that of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio {
    /// The median of the ratios of all rounds.
    pub(crate) median: f64,
    /// The ratio of the lowest cost of each. Other load on the machine can only raise a cost, so
    /// the lowest one is disturbed least.
    pub(crate) least: f64,
}

/// A ratio that should not exceed a limit.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    limit: Option<f64>,
    what: String,
    /// `None` if it could not be measured on this machine.
    measured: Option<Ratio>,
}

impl Target {
    pub(crate) fn at_most(limit: f64, what: impl Into<String>, measured: Option<Ratio>) -> Self {
        Self {
            limit: Some(limit),
            what: what.into(),
            measured,
        }
    }

    /// Creates an entry without a limit, for a ratio that is only reported.
    pub(crate) fn none(what: impl Into<String>, measured: Option<Ratio>) -> Self {
        Self {
            limit: None,
            what: what.into(),
            measured,
        }
    }
}

/// Prints the targets as a Markdown table. The median decides whether a target is met.
pub(crate) fn print(targets: &[Target]) {
    println!(
        "\n| evy's cost | at most | median ratio of the rounds | ratio of the best rounds | result |"
    );
    println!("| --- | ---: | ---: | ---: | --- |");
    for target in targets {
        let what = &target.what;
        let limit = target
            .limit
            .map_or(String::new(), |limit| format!("{limit:.3}"));
        let Some(Ratio { median, least }) = target.measured else {
            println!("| {what} | {limit} | | | not measured |");
            continue;
        };
        let verdict = match target.limit {
            None => "",
            Some(limit) if median <= limit => "met",
            Some(limit) if least <= limit => "missed, met in the best rounds",
            Some(_) => "missed",
        };
        println!("| {what} | {limit} | {median:.3} | {least:.3} | {verdict} |");
    }
}

/// Returns the median, or `None` if there are no values.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Returns the smallest value, or `None` if there are no values.
pub(crate) fn least(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.min_by(f64::total_cmp)
}

/// Returns the ratio of the first costs of the pairs to the second ones.
pub(crate) fn ratio(pairs: &[(f64, f64)]) -> Option<Ratio> {
    let best = least(pairs.iter().map(|(own, _)| *own))?;
    let other = least(pairs.iter().map(|(_, other)| *other))?;
    Some(Ratio {
        median: median(pairs.iter().map(|(own, other)| own / other))?,
        least: best / other,
    })
}
