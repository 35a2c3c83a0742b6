//! Arguments of calls: memory, parts of memory, pointers and times, some of which are invalid.

use std::ptr;

use libc::{iovec, timespec};

use crate::round::Round;

/// An address that is not mapped.
pub(crate) const NOWHERE: usize = 16;

/// Memory for a call, which may be invalid.
pub(crate) struct Memory {
    pub(crate) bytes: Vec<u8>,
    pub(crate) address: *mut u8,
}

impl Memory {
    pub(crate) fn new(round: &mut Round, len: usize) -> Self {
        let mut bytes = vec![b'm'; len.max(1)];
        let address = match round.random.below(24) {
            0 => ptr::null_mut(),
            1 => ptr::without_provenance_mut(NOWHERE),
            _ => bytes.as_mut_ptr(),
        };
        Self { bytes, address }
    }

    pub(crate) fn name(&self) -> &str {
        match self.address.addr() {
            0 => "null",
            NOWHERE => "nowhere",
            _ => "memory",
        }
    }

    /// Notes what a call has written.
    pub(crate) fn note(&self, round: &Round) {
        let is_changed = |byte: &&u8| **byte != b'm';
        let changed: Vec<u8> = self.bytes.iter().filter(is_changed).copied().collect();
        round.note(&format!("; {} ", String::from_utf8_lossy(&changed)));
    }
}

pub(crate) fn len(round: &mut Round) -> usize {
    round.random.choose(&[0, 1, 3, 8, 16, 100, 600, 5000])
}

/// Returns a pointer to `value`, to nothing, or to nowhere.
pub(crate) fn pointer<T>(round: &mut Round, value: &mut T) -> *mut T {
    match round.random.below(24) {
        0 => ptr::null_mut(),
        1 => ptr::without_provenance_mut(NOWHERE),
        _ => value,
    }
}

/// Parts of memory for a call.
pub(crate) struct Parts {
    pub(crate) memory: Vec<Memory>,
    pub(crate) list: Vec<iovec>,
    pub(crate) address: *mut iovec,
    pub(crate) count: usize,
    pub(crate) name: String,
}

impl Parts {
    /// Returns some that the kernel may refuse.
    pub(crate) fn new(round: &mut Round) -> Self {
        let count = round.random.choose(&[0, 1, 1, 2, 3, 17, 20]);
        let lens: Vec<usize> = (0..count).map(|_| len(round)).collect();
        let mut memory: Vec<_> = lens.iter().map(|len| Memory::new(round, *len)).collect();
        if count > 1 {
            // How much of the first ones is used before an invalid one is found may vary.
            memory
                .iter_mut()
                .for_each(|memory| memory.address = memory.bytes.as_mut_ptr());
        }
        let part = |(memory, len): (&Memory, &usize)| iovec {
            iov_base: memory.address.cast(),
            iov_len: *len,
        };
        let mut list: Vec<_> = memory.iter().zip(&lens).map(part).collect();
        if round.random.once_in(20)
            && let Some(part) = list.last_mut()
        {
            part.iov_len = usize::MAX;
        }
        let address = match round.random.below(20) {
            0 => ptr::null_mut(),
            1 => ptr::without_provenance_mut(NOWHERE),
            _ => list.as_mut_ptr(),
        };
        // A count that is refused is refused first.
        let count = match round.random.below(20) {
            0 => 1025,
            1 => usize::MAX,
            _ => count,
        };
        let places: Vec<_> = memory.iter().map(Memory::name).collect();
        let name = format!(
            "{:?} {lens:?} {places:?}, {count}",
            address.addr() == list.as_ptr().addr()
        );
        Self {
            memory,
            list,
            address,
            count,
            name,
        }
    }

    pub(crate) fn note(&self, round: &Round) {
        for memory in &self.memory {
            memory.note(round);
        }
    }
}

/// Returns a time that is short, or invalid.
pub(crate) fn time(round: &mut Round) -> timespec {
    let (tv_sec, tv_nsec) = round.random.choose(&[
        (0, 0),
        (0, 1),
        (0, 300_000),
        (0, -1),
        (-1, 0),
        (0, 1_000_000_000),
        (0, i64::MAX),
        (i64::MIN, 0),
    ]);
    timespec { tv_sec, tv_nsec }
}

/// Describes what a call has left of a time.
pub(crate) fn left(before: &timespec, after: &timespec) -> &'static str {
    match (before.tv_sec, before.tv_nsec) == (after.tv_sec, after.tv_nsec) {
        true => "same time",
        false if (after.tv_sec, after.tv_nsec) == (0, 0) => "no time",
        false => "some time",
    }
}
