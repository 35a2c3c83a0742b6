//! `IdWords`: where `struct pthread` has the id of the thread.

use std::sync::atomic::{AtomicI32, Ordering};

use super::machine::{ThreadPointer, system_call};

/// The words of `struct pthread` that had the value of the thread's id, one bit each. The upper half of
/// a pointer may have that value too.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdWords {
    /// Where `struct pthread` begins, relative to the thread pointer.
    begin: isize,
    found: [u64; 4],
}

impl IdWords {
    const COUNT: usize = 256;

    pub(super) const NONE: Self = Self {
        begin: 0,
        found: [0; 4],
    };

    /// Returns the offset of a word from the thread pointer.
    fn offset(self, word: usize) -> isize {
        self.begin + (word * size_of::<i32>()).cast_signed()
    }

    /// Finds the words of the calling thread.
    ///
    /// # Safety
    ///
    /// `thread_pointer` is the current one.
    pub(super) unsafe fn find(thread_pointer: ThreadPointer) -> Self {
        // SAFETY: the calls take no arguments.
        let (id, begin) = unsafe {
            (
                system_call(libc::SYS_gettid, [0; 4]),
                libc::pthread_self() as *const u8,
            )
        };
        // On `x86_64` the thread pointer is the same address, on aarch64 it is that of the end.
        let mut words = Self {
            begin: thread_pointer.offset_of(begin),
            ..Self::NONE
        };
        for word in 0..Self::COUNT {
            let word_at = thread_pointer.at::<AtomicI32>(words.offset(word));
            // SAFETY: inside of `struct pthread`, which is larger. glibc may change a word meanwhile.
            let value = unsafe { (*word_at).load(Ordering::Relaxed) };
            words.found[word / 64] |= u64::from(value as isize == id) << (word % 64);
        }
        words
    }

    /// Returns the offsets of the words that are in both sets.
    pub(super) fn common(self, other: Self) -> impl Iterator<Item = isize> {
        let has = |words: &Self, word: usize| words.found[word / 64] >> (word % 64) & 1 == 1;
        (0..Self::COUNT)
            .filter(move |word| {
                self.begin == other.begin && has(&self, *word) && has(&other, *word)
            })
            .map(move |word| self.offset(word))
    }
}
