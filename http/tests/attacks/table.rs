//! Reads a table of attacks. `requests.txt` describes the format.

use std::collections::HashMap;

/// A row, of which `{end}` and the appended request are left to the user.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: usize,
    /// The outcome of evy.
    pub(super) outcome: String,
    /// Whether the outcome is not what the RFC says.
    pub(super) deviates: bool,
    /// Other outcomes that the RFC allows.
    pub(super) alternatives: Vec<String>,
    /// The number of the RFC and the section.
    pub(super) section: String,
    pub(super) input: Vec<u8>,
    /// Whether the stream ends after the input.
    pub(super) is_end: bool,
    /// How many bytes the input of the row before begins with too, if both have the same line.
    pub(super) shared: usize,
}

/// Checks that each row has the outcome that it says.
///
/// # Panics
///
/// Panics with the rows that have another one.
pub(super) fn check_outcomes(rows: &[Row], mut outcome_of: impl FnMut(&Row) -> String) {
    let mut failures = String::new();
    for row in rows {
        let found = outcome_of(row);
        if found != row.outcome {
            failures += &format!(
                "line {}: {found} instead of {} ({}): \"{}\"\n",
                row.line,
                row.outcome,
                row.section,
                row.input.escape_ascii()
            );
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

/// Returns the rows of a table.
///
/// # Panics
///
/// Panics if the table is malformed.
pub(super) fn rows(text: &str) -> Vec<Row> {
    let mut texts = HashMap::new();
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(definition) = line.strip_prefix("let ") {
            let (name, text) = definition.split_once(" = ").expect("let NAME = TEXT");
            texts.insert(name, text);
            continue;
        }
        let mut columns = line.splitn(3, " | ");
        let mut column = || columns.next().expect("a row has three columns");
        let (outcomes, section, input) = (column(), column(), column());
        let mut outcomes = outcomes.split(" / ").map(str::to_owned);
        let outcome = outcomes.next().unwrap_or_default();
        let alternatives: Vec<String> = outcomes.collect();
        let mut before = Vec::new();
        for input in variants(input) {
            let mut input = expand(&input, &texts);
            let is_end = input.ends_with(b"{end}");
            if is_end {
                input.truncate(input.len() - b"{end}".len());
            }
            let pairs = before.iter().zip(&input);
            let shared = pairs.take_while(|(a, b)| a == b).count();
            before.clone_from(&input);
            rows.push(Row {
                line: line_number,
                outcome: outcome.trim_start_matches('!').to_owned(),
                deviates: outcome.starts_with('!'),
                alternatives: alternatives.clone(),
                section: section.trim().to_owned(),
                input,
                is_end,
                shared,
            });
        }
    }
    rows
}

/// Returns one text for each of the choices in `<<a||b>>`.
fn variants(text: &str) -> Vec<String> {
    // A choice may begin with `<`, and end with `>`.
    let Some((before, rest)) = text.split_once("<<") else {
        return vec![text.to_owned()];
    };
    let end = rest.find(">>").expect("`<<` is closed");
    let end = end + rest[end..].chars().take_while(|&c| c == '>').count() - 2;
    let (choices, after) = (&rest[..end], &rest[end + 2..]);
    let tails = variants(after);
    let choices = choices.split("||");
    let both = choices.flat_map(|choice| tails.iter().map(move |tail| (choice, tail)));
    both.map(|(choice, tail)| format!("{before}{choice}{tail}"))
        .collect()
}

/// Replaces names, repetitions and escapes. `{end}` stays.
fn expand(text: &str, texts: &HashMap<&str, &str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let inner = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let escaped = rest.strip_prefix('\\');
        if let Some((name, after)) = inner
            && let Some(text) = texts.get(name)
        {
            bytes.extend(expand(text, texts));
            rest = after;
        } else if let Some((repeated, after)) = inner
            && let Some((count, text)) = repeated.split_once('*')
            && let Ok(count) = count.parse()
        {
            bytes.extend(expand(text, texts).repeat(count));
            rest = after;
        } else if let Some(escaped) = escaped {
            let (byte, length) = unescape(escaped);
            bytes.push(byte);
            rest = &escaped[length..];
        } else {
            bytes.extend(first.to_string().as_bytes());
            rest = &rest[first.len_utf8()..];
        }
    }
    bytes
}

/// Returns the byte that an escape stands for, and how long it is after the backslash.
fn unescape(escaped: &str) -> (u8, usize) {
    let byte = match escaped.as_bytes()[0] {
        b'r' => b'\r',
        b'n' => b'\n',
        b't' => b'\t',
        b'0' => 0,
        b'x' => {
            let digits = u8::from_str_radix(&escaped[1..3], 16);
            return (digits.expect("\\x has two digits"), 3);
        }
        other => other,
    };
    (byte, 1)
}
