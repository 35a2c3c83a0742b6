//! Where the bytes of a row are split.

use super::table::Row;

/// Splitting a long input everywhere shows no more than splitting it near its ends.
const NEAR: usize = 120;

/// Returns where to split the first `length` bytes of a row: everywhere except where the row before
/// was split in the same bytes.
pub(super) fn cuts(row: &Row, length: usize) -> impl Iterator<Item = usize> {
    let is_near_an_end = move |&cut: &usize| cut < NEAR || cut + NEAR > length;
    (row.shared.max(1)..length).filter(is_near_an_end)
}
