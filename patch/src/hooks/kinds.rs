//! The kinds of descriptors.

use std::ffi::c_int;

use super::system::system_call;

/// Whether a descriptor has no type, like those for events, timers and signals.
pub(super) fn is_anonymous(fd: c_int) -> bool {
    kind_of(fd) == Some(0)
}

/// Returns the type of a file, such as `S_IFSOCK`. `None` if the descriptor is not open.
pub(super) fn kind_of(fd: c_int) -> Option<libc::mode_t> {
    // SAFETY: all zeros is a valid value, and the pointer is valid.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        let result = system_call!(SYS_fstat, fd, &raw mut stat);
        (result == 0).then_some(stat.st_mode & libc::S_IFMT)
    }
}
