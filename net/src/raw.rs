//! What needs `unsafe`: sockets from descriptors that only have a number, the action of a signal, and
//! the type behind a type parameter. The only file of this crate that may contain any
//! (`tests/tidy.rs`).
#![expect(unsafe_code, reason = "this file has what the others cannot express")]

#[cfg(target_os = "linux")]
use std::any::TypeId;
#[cfg(target_os = "linux")]
use std::marker::PhantomData;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::unix::{UnixDatagram, UnixListener, UnixStream};
use crate::{TcpListener, TcpStream, UdpSocket};

macro_rules! from_raw_fd {
    ($($kind:ty)*) => { $(
        impl FromRawFd for $kind {
            /// Converts like `from_std`.
            ///
            /// # Panics
            ///
            /// Panics if the descriptor cannot be made non-blocking.
            unsafe fn from_raw_fd(fd: RawFd) -> Self {
                // SAFETY: the descriptor is open and belongs to the caller alone (caller).
                Self::from(unsafe { OwnedFd::from_raw_fd(fd) })
            }
        }
    )* };
}

from_raw_fd!(TcpStream TcpListener UdpSocket UnixStream UnixListener UnixDatagram);

/// Whether the process ignores SIGPIPE, as Rust programs do by default.
#[cfg(target_os = "linux")]
pub(crate) fn is_sigpipe_ignored() -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the call changes nothing and writes the current action.
    let result = unsafe { libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: an action of zeros is valid too.
    let action = unsafe { action.assume_init() };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Returns `value` as a `T` if it is one, or a reference to one. Like [`Any`](std::any::Any), but for
/// values that may contain borrows.
#[cfg(target_os = "linux")]
pub(crate) fn downcast_ref<T: 'static, V: ?Sized>(value: &V) -> Option<&T> {
    let id = type_id::<V>();
    let value = std::ptr::from_ref(value);
    if id == TypeId::of::<T>() {
        // SAFETY: types with the same id differ in their lifetimes at most. `T` contains none, so
        // `V` is `T`.
        return Some(unsafe { &*value.cast::<T>() });
    }
    if id == TypeId::of::<&'static T>() || id == TypeId::of::<&'static mut T>() {
        // SAFETY: as above, `V` is a reference to a `T`. It outlives the borrow of `value`, which is
        // the lifetime of the result.
        return Some(unsafe { *value.cast::<&T>() });
    }
    None
}

/// Returns the id of a type that may contain borrows. Types that differ in lifetimes only have the
/// same one.
#[cfg(target_os = "linux")]
fn type_id<V: ?Sized>() -> TypeId {
    trait HasId {
        fn id(&self) -> TypeId
        where
            Self: 'static;
    }
    impl<V: ?Sized> HasId for PhantomData<V> {
        fn id(&self) -> TypeId
        where
            Self: 'static,
        {
            TypeId::of::<V>()
        }
    }
    let value: &dyn HasId = &PhantomData::<V>;
    // SAFETY: only a lifetime changes. `id` reads nothing, so it follows no borrow that has ended.
    unsafe { std::mem::transmute::<&dyn HasId, &(dyn HasId + 'static)>(value) }.id()
}
