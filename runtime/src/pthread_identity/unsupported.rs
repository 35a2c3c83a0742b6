//! Targets on which a green thread cannot have an identity of its own.

use std::convert::Infallible;
use std::io;

use super::Adopt;

/// An identity, of which there is none on this target.
#[derive(Debug)]
pub(crate) struct PthreadIdentity(Infallible);

/// The thread pointer, which never changes on this target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadPointer;

/// Returns the reason why there are no identities here.
///
/// # Errors
///
/// Always returns `Unsupported`.
pub(crate) fn check() -> io::Result<()> {
    let cause = if cfg!(not(target_os = "linux")) {
        "is for another system"
    } else if cfg!(not(target_env = "gnu")) {
        "uses another C library"
    } else if cfg!(target_feature = "crt-static") {
        "is linked statically"
    } else if cfg!(not(any(target_arch = "x86_64", target_arch = "aarch64"))) {
        "is for another architecture"
    } else if cfg!(evy_context = "corosensei") {
        "was built with the feature `portable`, which has another context switch"
    } else {
        "was built with a sanitizer"
    };
    let message = format!(
        "a green thread can have a pthread identity of its own only on Linux with glibc, linked \
         dynamically, on x86_64 and aarch64, but this program {cause}"
    );
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

/// There are no identities, so none is parked.
pub(crate) fn is_parked_while(_id: i32, _holds: impl FnOnce() -> bool) -> bool {
    false
}

/// Runs `f`.
///
/// # Safety
///
/// There are no requirements on this target.
pub(crate) unsafe fn as_os_thread<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Returns `false`.
///
/// # Safety
///
/// There are no requirements on this target.
pub(crate) unsafe fn is_identity(_: libc::pthread_t) -> bool {
    false
}

impl PthreadIdentity {
    pub(crate) fn area() -> io::Result<usize> {
        check().map(|()| 0)
    }

    pub(crate) unsafe fn create(
        _: *mut u8,
        _: *mut u8,
        _: Adopt,
        _: *const (),
    ) -> io::Result<Self> {
        Err(check().expect_err("there are no identities on this target"))
    }

    pub(crate) fn base(&self) -> *mut u8 {
        match self.0 {}
    }

    pub(crate) fn top(&self) -> *mut u8 {
        match self.0 {}
    }

    pub(crate) fn thread_pointer(&self) -> ThreadPointer {
        match self.0 {}
    }

    pub(crate) fn begin_turn(&self) {
        match self.0 {}
    }

    pub(crate) fn end_turn(&self) {
        match self.0 {}
    }

    pub(crate) unsafe fn run_destructors(&self) {
        match self.0 {}
    }

    pub(crate) unsafe fn renew(&self) {
        match self.0 {}
    }

    pub(crate) unsafe fn destroy(&self) -> bool {
        match self.0 {}
    }
}

impl ThreadPointer {
    pub(crate) fn current() -> Self {
        Self
    }

    pub(crate) unsafe fn set(self) {}
}
