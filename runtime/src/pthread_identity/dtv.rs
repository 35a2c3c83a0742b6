//! `Dtv`: the loader's table of the thread locals of the current thread, by module.
//!
//! The loader says that a thread has no place for the thread locals of a module yet in two cases. The
//! place is to be created at the first use. Or the module is being loaded, on another OS thread, and is to
//! get a place in the static area. The table tells the two apart: only the first has an entry.

use super::machine::ThreadPointer;

/// The table of the current thread. The ABI of the loader defines it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dtv(*const Entry);

/// An entry of a module. The two before the first one have the length of the table and its version.
#[repr(C)]
struct Entry {
    place: usize,
    _allocation: usize,
}

impl Dtv {
    /// Returns the table of the current thread.
    pub(super) fn current() -> Self {
        // Where the block at the thread pointer has the address of the table.
        let offset = match cfg!(target_arch = "x86_64") {
            true => size_of::<usize>().cast_signed(),
            false => 0,
        };
        let table: *const *const Entry = ThreadPointer::current().at(offset);
        // SAFETY: the ABI keeps the address there.
        Self(unsafe { *table })
    }

    /// Returns what the table has for a module: its place, `usize::MAX` if it has none yet, and `None` if
    /// the table does not know the module.
    ///
    /// # Safety
    ///
    /// The calling thread is the one whose table it is, and uses no thread local of a module that was
    /// loaded later than it was created.
    pub(super) unsafe fn place(self, module: usize) -> Option<usize> {
        // SAFETY: the table has its length before its beginning, and an entry for each number from zero
        // to that.
        unsafe {
            let len = (*self.0.sub(1)).place;
            let place = (module <= len).then(|| (*self.0.add(module)).place);
            place.filter(|place| *place != 0)
        }
    }
}
