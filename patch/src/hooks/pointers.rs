//! Pointers of a caller that may be invalid. The kernel returns `EFAULT` for them, so a hook must not
//! read them before the kernel has.

use super::system::system_call;

/// Whether memory of at least eight bytes can be read.
pub(super) fn is_readable<T>(pointer: *const T, len: usize) -> bool {
    const PAGE: usize = 4096;
    let last = len.saturating_sub(8);
    let mut places = (0..last).step_by(PAGE).chain([last]);
    places.all(|place| {
        // The call reads a signal mask of eight bytes before it refuses the number.
        const NO_OPERATION: usize = 77;
        let place = pointer.wrapping_byte_add(place);
        // SAFETY: the call writes nothing and changes nothing.
        let result = unsafe { system_call!(SYS_rt_sigprocmask, NO_OPERATION, place, 0, 8) };
        result != -(libc::EFAULT as isize)
    })
}

/// Returns a value of the caller. `None` if the pointer is null or invalid.
///
/// # Safety
///
/// Nothing writes to the value meanwhile.
pub(super) unsafe fn value<T: Copy>(pointer: *const T) -> Option<T> {
    // SAFETY: readable, and nothing writes to it (caller).
    let read = || unsafe { pointer.read_unaligned() };
    (!pointer.is_null() && is_readable(pointer, size_of::<T>())).then(read)
}
