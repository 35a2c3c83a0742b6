//! Stacks for signal handlers. The kernel knows one for each OS thread, and its green threads share it.
//!
//! A library may give each thread such a stack, and free it at the end of the thread. So the stack of
//! a green thread with an identity is noted, and not used. In its place the OS thread gets one that is
//! as large, and that is never freed.

use std::cell::Cell;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;

use evy_runtime::lowlevel::hooks::own_stack;
use libc::stack_t;

use super::system::fail;

thread_local! {
    /// The stack that the green thread has installed.
    static OWN: Cell<Option<stack_t>> = const { Cell::new(None) };
}

hooks! {
    @always fn sigaltstack(new: *const stack_t, old: *mut stack_t) -> c_int {
        if own_stack().is_none() {
            return real::sigaltstack(new, old);
        }
        let shared = shared();
        let is_running_on_it = shared.ss_flags & libc::SS_ONSTACK;
        let before = OWN.get().unwrap_or(shared);
        if let Some(new) = new.as_ref() {
            if is_running_on_it != 0 {
                return fail(libc::EPERM) as c_int;
            }
            if !is_valid(new) {
                // It finds the error.
                return real::sigaltstack(new, old);
            }
            let needed = if is_disabled(new) { 0 } else { new.ss_size };
            let size = if is_disabled(&shared) { 0 } else { shared.ss_size };
            if needed > size && install(needed) != 0 {
                return -1;
            }
            OWN.set(Some(*new));
        }
        if let Some(old) = old.as_mut() {
            *old = before;
            old.ss_flags |= is_running_on_it;
        }
        0
    }
}

/// Returns the stack of the OS thread.
fn shared() -> stack_t {
    let mut stack = MaybeUninit::<stack_t>::zeroed();
    // SAFETY: all zeros is a valid value, and the pointers are valid or null.
    unsafe {
        real::sigaltstack(ptr::null(), stack.as_mut_ptr());
        stack.assume_init()
    }
}

fn is_disabled(stack: &stack_t) -> bool {
    stack.ss_flags & libc::SS_DISABLE != 0
}

/// Whether the kernel would take the stack.
fn is_valid(stack: &stack_t) -> bool {
    const DISARMED_IN_HANDLERS: c_int = 1 << 31;
    let known = libc::SS_DISABLE | libc::SS_ONSTACK | DISARMED_IN_HANDLERS;
    let is_large = stack.ss_size >= libc::MINSIGSTKSZ;
    stack.ss_flags & !known == 0 && (is_large || is_disabled(stack))
}

/// Gives the OS thread a stack of `size` bytes. Returns -1, with `errno`, if that fails.
fn install(size: usize) -> c_int {
    // SAFETY: the memory is new, and never freed, because the kernel may use it until the very end of
    // the OS thread.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        let memory = libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0);
        if memory == libc::MAP_FAILED {
            return -1;
        }
        let stack = stack_t {
            ss_sp: memory,
            ss_flags: 0,
            ss_size: size,
        };
        real::sigaltstack(&raw const stack, ptr::null_mut())
    }
}
