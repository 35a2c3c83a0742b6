//! Tests of stacks and slabs.

use super::{COLOR_STEP, COLORS, DEFAULT_SIZE, KEPT_BYTES, MIN_SIZE, Slabs, Stack, round_size};

/// Returns the smallest size of a stack.
fn min_size() -> usize {
    round_size(1).unwrap()
}

/// Carves `count` stacks of `size` bytes, and returns them with their slabs.
fn carve(size: usize, count: usize) -> (Slabs, Vec<Stack>) {
    let mut slabs = Slabs::new(size);
    let stacks = (0..count).map(|_| slabs.carve().unwrap()).collect();
    (slabs, stacks)
}

#[test]
fn sizes_are_powers_of_two_and_not_below_the_minimum() {
    assert_eq!(min_size(), MIN_SIZE.max(super::page_size()));
    assert_eq!(round_size(DEFAULT_SIZE).unwrap(), DEFAULT_SIZE);
    assert_eq!(round_size(100_000).unwrap(), 128 * 1024);
    assert_eq!(
        round_size(usize::MAX).unwrap_err().kind(),
        std::io::ErrorKind::OutOfMemory
    );
}

#[test]
fn neighboring_stacks_start_in_different_cache_sets() {
    let (slabs, stacks) = carve(min_size(), COLORS);
    let mut offsets: Vec<_> = stacks
        .iter()
        .map(|stack| stack.base().addr() % 4096)
        .collect();
    offsets.sort_unstable();
    offsets.dedup();
    assert_eq!(offsets.len(), COLORS);
    assert!(
        stacks
            .iter()
            .all(|stack| stack.base().addr().is_multiple_of(COLOR_STEP))
    );
    // SAFETY: no stack is used again.
    unsafe { slabs.unmap() };
}

#[test]
fn neighboring_stacks_fall_into_different_tlb_sets() {
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
        // SAFETY: all addresses lie between limit and base, and nothing else uses the stack.
        unsafe {
            limit.write_volatile(1);
            base.sub(1).write_volatile(2);
            stack.trim(stack.base());
            assert_eq!(
                limit.read_volatile(),
                0,
                "its memory was not returned to the system"
            );
            assert_eq!(base.sub(1).read_volatile(), 2);
            let kept = limit.add(stack.size() - KEPT_BYTES);
            kept.write_volatile(3);
            stack.trim(stack.base());
            assert_eq!(kept.read_volatile(), 3);
        }
    }
    // SAFETY: no stack is used again.
    unsafe { slabs.unmap() };
}

#[test]
fn memory_that_the_system_does_not_take_back_is_kept_without_a_panic() {
    let page = super::page_size();
    // SAFETY: nothing is mapped at the second page of the address space, so the call only fails.
    unsafe { super::slab::discard(std::ptr::without_provenance_mut(page), page) };
}

#[test]
fn more_stacks_can_be_carved_than_fit_into_one_slab() {
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
