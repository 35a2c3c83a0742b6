//! The blocks of thread locals that the loader has allocated for one thread.
//!
//! A module that `dlopen` loads has no place in the static area of a thread, unless it asks for one. At
//! the first access of a thread, the loader allocates a block for it, and notes that in the table of that
//! thread, the `dtv`, which only the thread itself changes. The table's format is known to compilers and
//! debuggers. A renewed identity gives its blocks back, so the next access gets a new one, with initial
//! values.
//!
//! The blocks are not found through `dl_iterate_phdr`. While another thread loads a module, that function
//! may report the block of an earlier module with the same number.

use std::ffi::c_void;

use super::machine::ThreadPointer;

/// Where the address of the table lies, relative to the thread pointer.
const TABLE: isize = if cfg!(target_arch = "x86_64") { 8 } else { 0 };

/// The address of a block that is not allocated.
const UNALLOCATED: *mut c_void = std::ptr::without_provenance_mut(usize::MAX);

/// An entry of the table. The one before the first has the number of the others in the first word.
#[derive(Clone, Copy)]
#[repr(C)]
struct Entry {
    place: *mut c_void,
    /// The block, or null if the place is in the static area.
    allocated: *mut c_void,
}

/// Returns the table of a thread, and the number of its entries. The first one is not for a module.
///
/// # Safety
///
/// `thread_pointer` is that of a thread that does not run, or the current one.
unsafe fn table(thread_pointer: ThreadPointer) -> (*mut Entry, usize) {
    // SAFETY: the loader has stored both (caller).
    unsafe {
        let table = thread_pointer.at::<*mut Entry>(TABLE).read();
        (table, (*table.sub(1)).place.addr())
    }
}

/// Whether the table of the current thread says that the thread locals of a module lie at `place`, in the
/// static area.
///
/// # Safety
///
/// `thread_pointer` is the current one.
pub(super) unsafe fn has_static(
    thread_pointer: ThreadPointer,
    module: usize,
    place: *mut u8,
) -> bool {
    // SAFETY: the entry is one of the table (caller).
    unsafe {
        let (table, last) = table(thread_pointer);
        module <= last && {
            let entry = *table.add(module);
            entry.place == place.cast() && entry.allocated.is_null()
        }
    }
}

/// Whether the current thread knows a module that has thread locals. It does not if the loader had not
/// finished to load the module when the thread was created.
///
/// # Safety
///
/// `thread_pointer` is the current one.
pub(super) unsafe fn has_entry(thread_pointer: ThreadPointer, module: usize) -> bool {
    // SAFETY: the entry is one of the table (caller).
    unsafe {
        let (table, last) = table(thread_pointer);
        (1..=last).contains(&module) && !(*table.add(module)).place.is_null()
    }
}

/// Gives back all blocks of a thread.
///
/// # Safety
///
/// `thread_pointer` is that of a thread that does not run, or the current one, and nothing refers to its
/// thread locals.
pub(super) unsafe fn free_all(thread_pointer: ThreadPointer) {
    // SAFETY: only that thread uses its table and its blocks, and it does not now (caller). The format was
    // checked (`trial`).
    unsafe {
        let (table, last) = table(thread_pointer);
        for module in 1..=last {
            let entry = table.add(module);
            let block = (*entry).allocated;
            if !block.is_null() {
                *entry = Entry {
                    place: UNALLOCATED,
                    allocated: std::ptr::null_mut(),
                };
                libc::free(block);
            }
        }
    }
}
