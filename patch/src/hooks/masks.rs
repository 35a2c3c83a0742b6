//! Signal masks that hold during a wait: `ppoll`, `pselect`, `epoll_pwait` and `sigsuspend`.
//!
//! The mask of the OS thread holds for all of its green threads, so it stays as it is while one of
//! them is parked. The signals that are blocked there, and that the mask of the call lets through,
//! are waited for with a descriptor of the kernel. Each attempt is a system call with the mask of the
//! call, in which the kernel delivers them.

use std::ffi::c_int;
use std::ptr;

use libc::sigset_t;

use super::pointers::value;
use super::system::system_call;

/// The number of bytes of a signal mask in the kernel.
pub(super) const MASK_SIZE: usize = 8;

/// The mask of a call.
#[derive(Debug)]
pub(super) struct Mask {
    mask: Option<u64>,
    /// The signals that only the mask lets through.
    opened: u64,
}

impl Mask {
    /// The mask stays as it is.
    pub(super) const NONE: Self = Self {
        mask: None,
        opened: 0,
    };

    /// Returns the mask of a call. `None` if the pointer is invalid, or if the mask blocks more
    /// signals than the OS thread does, because their handlers must not run meanwhile.
    ///
    /// # Safety
    ///
    /// Nothing writes to the mask meanwhile.
    pub(super) unsafe fn of(mask: *const sigset_t) -> Option<Self> {
        if mask.is_null() {
            return Some(Self::NONE);
        }
        // SAFETY: nothing writes to it (caller).
        let mask = unsafe { value(mask.cast::<u64>()) }? & !UNBLOCKABLE;
        let current = current();
        (mask & !current == 0).then_some(Self {
            mask: Some(mask),
            opened: current & !(mask | UNBLOCKABLE),
        })
    }

    /// Returns the mask for the kernel, or null.
    pub(super) fn pointer(&self) -> *const u64 {
        self.mask.as_ref().map_or(ptr::null(), ptr::from_ref)
    }

    /// Whether there are signals that only the mask lets through.
    pub(super) fn opens_signals(&self) -> bool {
        self.opened != 0
    }

    /// Returns a descriptor that is readable while a signal is pending that only the mask lets
    /// through, if there are such signals.
    ///
    /// # Errors
    ///
    /// Returns the error of the system, negative.
    pub(super) fn descriptor(&self) -> Result<Option<SignalDescriptor>, isize> {
        match self.opened {
            0 => Ok(None),
            // SAFETY: the set is valid.
            _ => unsafe { SignalDescriptor::new(&raw const self.opened) }.map(Some),
        }
    }

    /// Whether a handler of the program could run without the mask of the call. Nothing would report
    /// that.
    pub(super) fn misses_handlers(&self) -> bool {
        let open = !(current() | self.mask.unwrap_or(0) | UNBLOCKABLE | FAULTS);
        (1..=64).any(|signal| open & bit(signal) != 0 && has_handler(signal))
    }
}

/// A descriptor that is readable while a signal of a set is pending.
#[derive(Debug)]
pub(super) struct SignalDescriptor(pub(super) c_int);

impl SignalDescriptor {
    /// # Safety
    ///
    /// The set is valid.
    pub(super) unsafe fn new(set: *const u64) -> Result<Self, isize> {
        let flags = libc::SFD_CLOEXEC;
        // SAFETY: the set is valid (caller).
        let fd = unsafe { system_call!(SYS_signalfd4, -1, set, MASK_SIZE, flags) };
        match fd {
            0.. => Ok(Self(fd as c_int)),
            error => Err(error),
        }
    }
}

impl Drop for SignalDescriptor {
    fn drop(&mut self) {
        // SAFETY: the descriptor is its own.
        unsafe { system_call!(SYS_close, self.0) };
    }
}

const fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// Signals that no program blocks: two of the kernel, and two of the C library.
const UNBLOCKABLE: u64 = bit(libc::SIGKILL) | bit(libc::SIGSTOP) | bit(32) | bit(33);

/// Signals that a thread causes itself.
const FAULTS: u64 = bit(libc::SIGSEGV)
    | bit(libc::SIGBUS)
    | bit(libc::SIGFPE)
    | bit(libc::SIGILL)
    | bit(libc::SIGTRAP)
    | bit(libc::SIGSYS);

/// Returns the mask of the OS thread.
fn current() -> u64 {
    let mut mask = 0_u64;
    // SAFETY: the pointer is valid.
    unsafe {
        system_call!(
            SYS_rt_sigprocmask,
            libc::SIG_BLOCK,
            0,
            &raw mut mask,
            MASK_SIZE
        )
    };
    mask
}

fn has_handler(signal: c_int) -> bool {
    // SAFETY: all zeros is a valid value, and the pointer is valid.
    let action = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        // Some numbers are reserved for the C library. They have no handler of the program.
        libc::sigaction(signal, ptr::null(), &raw mut action);
        action.sa_sigaction
    };
    ![libc::SIG_DFL, libc::SIG_IGN].contains(&action)
}
