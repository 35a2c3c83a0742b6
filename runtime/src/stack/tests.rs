//! What a stack owes its user.

use super::{COLOUR_STEP, COLOURS, DEFAULT_SIZE, MIN_SIZE, StackPool, round_size};

#[test]
fn sizes_are_powers_of_two_and_never_tiny() {
    assert_eq!(round_size(1).unwrap(), MIN_SIZE);
    assert_eq!(round_size(DEFAULT_SIZE).unwrap(), DEFAULT_SIZE);
    assert_eq!(round_size(100_000).unwrap(), 128 * 1024);
    assert_eq!(
        round_size(usize::MAX).unwrap_err().kind(),
        std::io::ErrorKind::OutOfMemory
    );
}

#[test]
fn the_last_stack_given_back_is_the_next_handed_out() {
    let pool = StackPool::new();
    let (a, b) = (pool.take(MIN_SIZE).unwrap(), pool.take(MIN_SIZE).unwrap());
    let (a_limit, b_limit) = (a.limit(), b.limit());
    assert_ne!(a_limit, b_limit);
    pool.give_back(a);
    pool.give_back(b);
    assert_eq!(pool.take(MIN_SIZE).unwrap().limit(), b_limit);
    assert_eq!(pool.take(MIN_SIZE).unwrap().limit(), a_limit);
    // SAFETY: no stack of this pool is used again.
    unsafe { pool.unmap_all() };
}

#[test]
fn neighbours_start_in_different_cache_sets() {
    let pool = StackPool::new();
    let stacks: Vec<_> = (0..COLOURS).map(|_| pool.take(MIN_SIZE).unwrap()).collect();
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
    // SAFETY: no stack of this pool is used again.
    unsafe { pool.unmap_all() };
}

#[test]
fn a_stack_is_writable_from_base_to_limit_and_survives_a_trim() {
    let pool = StackPool::new();
    let stacks: Vec<_> = (0..400).map(|_| pool.take(MIN_SIZE).unwrap()).collect();
    for stack in &stacks {
        // SAFETY: both addresses lie between limit and base.
        unsafe {
            stack.limit().write_volatile(1);
            stack.base().sub(1).write_volatile(2);
        }
    }
    for stack in stacks {
        pool.give_back(stack);
    }
    for _ in 0..10 {
        pool.trim();
    }
    let stacks: Vec<_> = (0..400).map(|_| pool.take(MIN_SIZE).unwrap()).collect();
    // SAFETY: as above.
    let trimmed = stacks
        .iter()
        .filter(|stack| unsafe { stack.limit().read_volatile() } == 0)
        .count();
    assert!(trimmed >= 200, "only {trimmed} of 400 stacks were trimmed");
    // SAFETY: no stack of this pool is used again.
    unsafe { pool.unmap_all() };
}

#[test]
fn more_stacks_than_one_slab_holds() {
    let pool = StackPool::new();
    let stacks: Vec<_> = (0..1000)
        .map(|_| pool.take(DEFAULT_SIZE).unwrap())
        .collect();
    let mut limits: Vec<_> = stacks.iter().map(|stack| stack.limit().addr()).collect();
    limits.sort_unstable();
    assert!(
        limits
            .windows(2)
            .all(|pair| pair[1] - pair[0] >= DEFAULT_SIZE + super::GUARD_SIZE)
    );
    // SAFETY: no stack of this pool is used again.
    unsafe { pool.unmap_all() };
}
