//! What is aimed at, and whether a run has hit it.

/// What one thing costs beside another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio {
    /// The median of each round's own.
    pub(crate) median: f64,
    /// Of the best that each has shown: what others do on the machine makes it only dearer.
    pub(crate) least: f64,
}

/// A ratio that should not be above a limit.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    limit: Option<f64>,
    what: String,
    /// `None`: could not be measured here.
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

    /// Reported beside the others.
    pub(crate) fn none(what: impl Into<String>, measured: Option<Ratio>) -> Self {
        Self {
            limit: None,
            what: what.into(),
            measured,
        }
    }
}

/// Prints a Markdown table. The median counts.
pub(crate) fn print(targets: &[Target]) {
    println!("\n| evy | at most | median of the rounds | of the best rounds | |");
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
            Some(limit) if median <= limit => "hit",
            Some(limit) if least <= limit => "missed, hit in the best",
            Some(_) => "missed",
        };
        println!("| {what} | {limit} | {median:.3} | {least:.3} | {verdict} |");
    }
}

/// The middle one, if there is any.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The least one, if there is any.
pub(crate) fn least(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.min_by(f64::total_cmp)
}

/// What is in each pair, one beside the other.
pub(crate) fn ratio(pairs: &[(f64, f64)]) -> Option<Ratio> {
    let best = least(pairs.iter().map(|(own, _)| *own))?;
    let other = least(pairs.iter().map(|(_, other)| *other))?;
    Some(Ratio {
        median: median(pairs.iter().map(|(own, other)| own / other))?,
        least: best / other,
    })
}
