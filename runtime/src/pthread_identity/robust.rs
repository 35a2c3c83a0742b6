//! The robust mutexes that a green thread still holds when it ends.
//!
//! Each thread has a list of the robust mutexes that it holds, which the kernel walks when the thread
//! ends: it marks them, and the next owner gets `EOWNERDEAD`. The kernel does not notice the end of a
//! green thread, so this does the same. The format of the list is part of the kernel's ABI.

use std::ptr;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use super::machine::{ThreadPointer, system_call};

/// The bits of the word of a mutex, besides the id of its owner.
const WAITERS: u32 = 1 << 31;
const OWNER_DIED: u32 = 1 << 30;
const OWNER: u32 = OWNER_DIED - 1;

/// The number of mutexes after which the kernel gives up too.
const MOST: usize = 2048;

/// The head of the list. Each entry begins with a pointer to the next, whose lowest bit marks a mutex
/// with priority inheritance. The last one points to the head.
#[repr(C)]
struct Head {
    first: *mut Entry,
    /// From an entry to the word of its mutex.
    offset: isize,
    pending: *mut Entry,
}

#[repr(C)]
struct Entry {
    next: *mut Self,
}

/// Returns where the list of a thread begins, relative to the thread pointer, which is that of the caller.
/// `None` if glibc has registered no list with the kernel.
pub(super) fn find(thread_pointer: ThreadPointer) -> Option<isize> {
    const LARGEST_THREAD: usize = 8 << 10;
    let mut head: *const Head = ptr::null();
    let mut size = 0_usize;
    // SAFETY: the pointers are valid.
    let error = unsafe {
        let (head, size) = ((&raw mut head).addr(), (&raw mut size).addr());
        system_call(libc::SYS_get_robust_list, [0, head, size, 0])
    };
    let offset = thread_pointer.offset_of(head);
    let is_found = error == 0 && size == size_of::<Head>() && !head.is_null();
    (is_found && offset.unsigned_abs() < LARGEST_THREAD).then_some(offset)
}

/// Marks the mutexes that are still held, and empties the list.
///
/// # Safety
///
/// `list` comes from [`find`], `thread_pointer` is the current one, and `id` its id. No code of the
/// program runs under it any more.
pub(super) unsafe fn release(list: isize, thread_pointer: ThreadPointer, id: i32) {
    let head = thread_pointer.at::<Head>(list);
    // SAFETY: the list is that of the current thread, which nothing else uses. Its mutexes are valid: a
    // program must not destroy one that is held.
    unsafe {
        let end = head.cast::<Entry>();
        let mut at = (*head).first;
        for _ in 0..MOST {
            let entry = at.map_addr(|address| address & !1);
            if entry == end {
                break;
            }
            let inherits = entry != at;
            at = (*entry).next;
            mark(&*entry.byte_offset((*head).offset).cast(), id, inherits);
        }
        (*head).first = end;
    }
}

/// Marks the mutex with this word, if the owner holds it, and wakes one thread that waits for it.
fn mark(word: &AtomicU32, id: i32, inherits: bool) {
    let died =
        |word: u32| (word & OWNER == id.cast_unsigned()).then_some(word & WAITERS | OWNER_DIED);
    let before = word.fetch_update(AcqRel, Acquire, died);
    if before.is_ok_and(|before| before & WAITERS != 0) && !inherits {
        let wake = libc::FUTEX_WAKE as usize;
        // SAFETY: a wake reads no memory.
        unsafe { system_call(libc::SYS_futex, [word.as_ptr().addr(), wake, 1, 0]) };
    }
}
