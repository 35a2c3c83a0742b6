//! What a stack owes its user.

use super::{COLOUR_STEP, COLOURS, DEFAULT_SIZE, KEPT_BYTES, MIN_SIZE, Slabs, Stack, round_size};

/// The least that there is.
fn least() -> usize {
    round_size(1).unwrap()
}

/// So many stacks of `size`, and what they were carved from.
fn carve(size: usize, count: usize) -> (Slabs, Vec<Stack>) {
    let mut slabs = Slabs::new(size);
    let stacks = (0..count).map(|_| slabs.carve().unwrap()).collect();
    (slabs, stacks)
}

#[test]
fn sizes_are_powers_of_two_and_never_tiny() {
    assert_eq!(least(), MIN_SIZE.max(super::page_size()));
    assert_eq!(round_size(DEFAULT_SIZE).unwrap(), DEFAULT_SIZE);
    assert_eq!(round_size(100_000).unwrap(), 128 * 1024);
    assert_eq!(
        round_size(usize::MAX).unwrap_err().kind(),
        std::io::ErrorKind::OutOfMemory
    );
}

#[test]
fn neighbours_start_in_different_cache_sets() {
    let (slabs, stacks) = carve(least(), COLOURS);
    let mut offsets: Vec<_> = stacks
        .iter()
        .map(|stack| stack.base().addr() % 4096)
        .collect();
    offsets.sort_unstable();
    offsets.dedup();
    assert_eq!(offsets.len(), COLOURS);
    assert!(
        stacks
            .iter()
            .all(|stack| stack.base().addr().is_multiple_of(COLOUR_STEP))
    );
    // SAFETY: no stack is used again.
    unsafe { slabs.unmap() };
}

#[test]
fn neighbours_lie_in_different_sets_of_the_table_of_pages() {
    const SETS: usize = 16;
    let (slabs, stacks) = carve(DEFAULT_SIZE, SETS);
    let page = |stack: &Stack| stack.limit().addr() / super::page_size();
    let mut sets: Vec<_> = stacks.iter().map(|stack| page(stack) % SETS).collect();
    sets.sort_unstable();
    sets.dedup();
    assert_eq!(sets.len(), SETS);
    // SAFETY: no stack is used again.
    unsafe { slabs.unmap() };
}

#[test]
fn a_stack_is_writable_from_base_to_limit_and_a_trim_keeps_its_base() {
    let (slabs, stacks) = carve(MIN_SIZE * 4, 100);
    for stack in &stacks {
        let (limit, base) = (stack.limit(), stack.base());
        // SAFETY: all addresses lie between limit and base, and nobody else uses the stack.
        unsafe {
            limit.write_volatile(1);
            base.sub(1).write_volatile(2);
            stack.trim();
            assert_eq!(limit.read_volatile(), 0, "its memory was not given back");
            assert_eq!(base.sub(1).read_volatile(), 2);
            let kept = limit.add(stack.size() - KEPT_BYTES);
            kept.write_volatile(3);
            stack.trim();
            assert_eq!(kept.read_volatile(), 3);
        }
    }
    // SAFETY: no stack is used again.
    unsafe { slabs.unmap() };
}

#[test]
fn more_stacks_than_one_slab_holds() {
    let (slabs, stacks) = carve(DEFAULT_SIZE, 1000);
    let mut limits: Vec<_> = stacks.iter().map(|stack| stack.limit().addr()).collect();
    limits.sort_unstable();
    assert!(
        limits
            .windows(2)
            .all(|pair| pair[1] - pair[0] >= DEFAULT_SIZE + super::GUARD_SIZE)
    );
    // SAFETY: no stack is used again.
    unsafe { slabs.unmap() };
}
