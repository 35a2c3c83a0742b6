//! What is aimed at, and whether a run has hit it.

/// A ratio that should not be above a limit.
#[derive(Clone, Debug)]
pub(crate) struct Aim {
    limit: Option<f64>,
    what: String,
    /// `None`: could not be measured here.
    measured: Option<f64>,
}

impl Aim {
    pub(crate) fn at_most(limit: f64, what: impl Into<String>, measured: Option<f64>) -> Self {
        Self {
            limit: Some(limit),
            what: what.into(),
            measured,
        }
    }

    /// Reported beside the others.
    pub(crate) fn none(what: impl Into<String>, measured: Option<f64>) -> Self {
        Self {
            limit: None,
            what: what.into(),
            measured,
        }
    }
}

/// Prints a Markdown table.
pub(crate) fn print(aims: &[Aim]) {
    println!("\n| aim | at most | measured | |\n| --- | ---: | ---: | --- |");
    for Aim {
        limit,
        what,
        measured,
    } in aims
    {
        let verdict = match (limit, measured) {
            (_, None) => "not measured",
            (None, _) => "",
            (Some(limit), Some(measured)) if measured <= limit => "hit",
            _ => "missed",
        };
        let number = |number: &Option<f64>| number.map_or(String::new(), |n| format!("{n:.3}"));
        println!(
            "| {what} | {} | {} | {verdict} |",
            number(limit),
            number(measured)
        );
    }
}

/// The middle one, if there is any.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
