//! The signal mask of a wait: `ppoll`, `pselect`, `epoll_pwait`.
//!
//! The mask of the OS thread is also that of its other green threads, so a wait does not change it.
//! What a mask is for are the signals that the OS thread blocks and the mask does not: the wait ends
//! when the handler of one of them has run. A descriptor of the kernel says that one is pending. Then
//! a call that has the mask, and does not wait, lets the handler run.
//!
//! The handler of a signal that the mask alone blocks runs during the wait, and not after it.

use std::ffi::c_int;
use std::ptr;

use libc::{sigset_t, timespec};

use super::system::system_call;

/// The number of bytes of a signal mask in the kernel.
pub(super) const MASK_SIZE: usize = 8;

/// The signals that end a wait, because its mask does not block them.
#[derive(Debug)]
pub(super) struct Admitted {
    mask: u64,
    fd: c_int,
}

/// There is no descriptor for the signals.
#[derive(Debug)]
pub(super) struct NoDescriptor;

impl Admitted {
    /// Returns the signals that `mask` admits. Returns `None` if there are none, or no mask.
    ///
    /// # Safety
    ///
    /// `mask` is valid or null.
    pub(super) unsafe fn by(mask: *const sigset_t) -> Result<Option<Self>, NoDescriptor> {
        // SAFETY: valid or null (caller). The kernel's mask comes first.
        let Some(mask) = (unsafe { mask.cast::<u64>().as_ref() }) else {
            return Ok(None);
        };
        let mut blocked = 0_u64;
        // SAFETY: the pointers are valid, or null for a mask that is not changed.
        let fd = unsafe {
            let unchanged = ptr::null::<u64>();
            system_call!(
                SYS_rt_sigprocmask,
                0,
                unchanged,
                &raw mut blocked,
                MASK_SIZE
            );
            let admitted = blocked & !mask;
            if admitted == 0 {
                return Ok(None);
            }
            let flags = libc::SFD_CLOEXEC;
            system_call!(SYS_signalfd4, -1, &raw const admitted, MASK_SIZE, flags)
        };
        match c_int::try_from(fd) {
            Ok(fd @ 0..) => Ok(Some(Self { mask: *mask, fd })),
            _ => Err(NoDescriptor),
        }
    }

    /// Returns the descriptor that is readable while one of the signals is pending.
    pub(super) fn fd(&self) -> c_int {
        self.fd
    }

    /// Lets the handlers of pending signals run. Returns whether one has.
    pub(super) fn deliver(&self) -> bool {
        let now = timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let none = ptr::null::<libc::pollfd>();
        // SAFETY: the pointers are valid, or null for no descriptors.
        let result = unsafe {
            let (now, mask) = (&raw const now, &raw const self.mask);
            system_call!(SYS_ppoll, none, 0, now, mask, MASK_SIZE)
        };
        result == -(libc::EINTR as isize)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        // SAFETY: the descriptor is this value's own.
        unsafe { system_call!(SYS_close, self.fd) };
    }
}
