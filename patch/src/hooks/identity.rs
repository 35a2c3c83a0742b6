//! Questions about the calling pthread, where the C library asks the kernel.
//!
//! The identity of a green thread is a pthread to the C library, and nothing to the kernel. So the
//! C library could not answer. The stack and the name are those of the green thread.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};

use evy_runtime::lowlevel::hooks::{is_identity_thread, own_stack};
use libc::{pthread_attr_t, pthread_t, size_t};

use super::system::system_call;

/// The longest name with its terminator, as in the kernel.
const NAME_SIZE: usize = 16;

thread_local! {
    /// The name that the green thread has given itself.
    static NAME: Cell<Option<[u8; NAME_SIZE]>> = const { Cell::new(None) };
}

hooks! {
    @always fn pthread_getattr_np(thread: pthread_t, attributes: *mut pthread_attr_t) -> c_int {
        match own_stack().filter(|_| is_self(thread)) {
            None => real::pthread_getattr_np(thread, attributes),
            Some((limit, size)) => match libc::pthread_attr_init(attributes) {
                0 => libc::pthread_attr_setstack(attributes, limit.cast::<c_void>(), size),
                error => error,
            },
        }
    }

    @always fn pthread_setname_np(thread: pthread_t, name: *const c_char) -> c_int {
        if !is_own_identity(thread) {
            return real::pthread_setname_np(thread, name);
        }
        let bytes = CStr::from_ptr(name).to_bytes();
        if bytes.len() >= NAME_SIZE {
            return libc::ERANGE;
        }
        let mut copy = [0; NAME_SIZE];
        copy[..bytes.len()].copy_from_slice(bytes);
        NAME.set(Some(copy));
        0
    }

    @always fn pthread_getname_np(thread: pthread_t, buffer: *mut c_char, len: size_t) -> c_int {
        match NAME.get().filter(|_| is_own_identity(thread)) {
            None => real::pthread_getname_np(thread, buffer, len),
            Some(_) if len < NAME_SIZE => libc::ERANGE,
            Some(name) => {
                name.as_ptr().copy_to_nonoverlapping(buffer.cast(), NAME_SIZE);
                0
            }
        }
    }

    @always fn pthread_exit(value: *mut c_void) -> ! {
        if !is_identity_thread(libc::pthread_self()) {
            real::pthread_exit(value)
        }
        // It would unwind to where the identity was made, over frames that belong to evy.
        let message = "evy: a green thread has called `pthread_exit`, which would end its OS thread\n";
        system_call!(SYS_write, libc::STDERR_FILENO, message.as_ptr(), message.len());
        libc::abort()
    }
}

/// Whether `thread` is the calling one.
fn is_self(thread: pthread_t) -> bool {
    // SAFETY: the call has no preconditions.
    thread == unsafe { libc::pthread_self() }
}

/// Whether `thread` is the calling one, and the identity of a green thread.
fn is_own_identity(thread: pthread_t) -> bool {
    // SAFETY: the calling pthread is valid.
    is_self(thread) && unsafe { is_identity_thread(thread) }
}
