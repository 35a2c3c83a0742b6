//! What the tables mark as a deviation is one, and is argued.

use std::collections::BTreeSet;

use super::answers::allows;
use super::table::rows;

#[test]
fn each_deviation_from_an_rfc_is_argued() {
    let tables = [include_str!("requests.txt"), include_str!("responses.txt")];
    let mut sections = BTreeSet::new();
    for row in tables.into_iter().flat_map(rows).filter(|row| row.deviates) {
        let mut alternatives = row.alternatives.iter().filter(|allowed| *allowed != "any");
        let is_allowed = alternatives.any(|allowed| allows(allowed, &row.outcome));
        assert!(!is_allowed, "line {}", row.line);
        sections.insert(row.section);
    }
    let page = include_str!("../../../docs/HTTP_DEVIATIONS.md");
    let argued = page
        .lines()
        .filter_map(|line| line.strip_prefix("## RFC ")?.split(": ").next());
    let argued: BTreeSet<String> = argued.map(str::to_owned).collect();
    assert_eq!(sections, argued);
}
