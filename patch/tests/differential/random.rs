//! A random generator.

/// Numbers that depend on a seed only.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // Neighbors must not be parts of the same sequence.
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95).rotate_left(32))
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // The generator SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) % end as u64) as usize
    }

    /// Returns `true` once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Returns some of the flags, mostly few.
    pub(crate) fn flags(&mut self, from: &[i32]) -> i32 {
        let each = |flags, flag: &i32| if self.once_in(6) { flags | flag } else { flags };
        from.iter().fold(0, each)
    }
}
