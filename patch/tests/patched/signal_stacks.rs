//! Stacks for signal handlers.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use evy_test_support::within;

use crate::{as_on_os_thread, is_patched, outcome};

/// Larger than those of std and of evy.
const SIZE: usize = 128 * 1024;

/// A stack that is unmapped when it is dropped, as by a library at the end of a thread.
struct Mapped(*mut libc::c_void);

impl Mapped {
    fn new() -> Self {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: the memory is new.
        let memory = unsafe { libc::mmap(ptr::null_mut(), SIZE, protection, flags, -1, 0) };
        assert_ne!(memory, libc::MAP_FAILED);
        Self(memory)
    }

    fn install(&self) {
        let stack = libc::stack_t {
            ss_sp: self.0,
            ss_flags: 0,
            ss_size: SIZE,
        };
        // SAFETY: the pointers are valid or null.
        let result = unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) };
        assert_eq!(result, 0);
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: nothing else uses it.
        assert_eq!(unsafe { libc::munmap(self.0, SIZE) }, 0);
    }
}

fn current() -> libc::stack_t {
    let mut stack = MaybeUninit::<libc::stack_t>::zeroed();
    // SAFETY: all zeros is a valid value, and the pointers are valid or null.
    unsafe {
        assert_eq!(libc::sigaltstack(ptr::null(), stack.as_mut_ptr()), 0);
        stack.assume_init()
    }
}

static HANDLED_AT: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handle(_: i32) {
    let local = 0_u8;
    HANDLED_AT.store((&raw const local).addr(), Relaxed);
}

/// Handles a signal on the signal stack. Returns the address of a local of the handler.
fn handle_signal() -> usize {
    // SAFETY: the handler only stores a number. All zeros is a valid value.
    unsafe {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        action.sa_sigaction = handle as extern "C" fn(i32) as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK;
        libc::sigaction(libc::SIGVTALRM, &raw const action, ptr::null_mut());
        assert_eq!(libc::raise(libc::SIGVTALRM), 0);
    }
    HANDLED_AT.swap(0, Relaxed)
}

#[test]
fn a_green_thread_may_free_its_signal_stack_at_its_end() {
    if !is_patched() {
        return;
    }
    within(|| {
        thread_local!(static OF_THREAD: Mapped = Mapped::new());
        for _ in 0..3 {
            let green = evy::spawn(|| {
                OF_THREAD.with(Mapped::install);
                evy::yield_now();
                assert_eq!(current().ss_sp, OF_THREAD.with(|stack| stack.0));
                assert_eq!(current().ss_size, SIZE);
                assert_ne!(handle_signal(), 0);
            });
            green.join().unwrap();
            evy::spawn(|| assert_ne!(handle_signal(), 0))
                .join()
                .unwrap();
        }
    });
}

#[test]
fn the_signal_stack_of_the_os_thread_is_as_large_as_that_of_a_green_thread() {
    if !is_patched() {
        return;
    }
    within(|| {
        let green = evy::spawn(|| {
            let stack = Mapped::new();
            stack.install();
        });
        green.join().unwrap();
        let shared = current();
        assert!(shared.ss_size >= SIZE);
        let memory = shared.ss_sp.addr()..shared.ss_sp.addr() + shared.ss_size;
        let green = evy::spawn(handle_signal);
        assert!(memory.contains(&green.join().unwrap()));
    });
}

#[test]
fn errors_of_signal_stacks_are_those_of_c() {
    if !is_patched() {
        return;
    }
    within(|| {
        as_on_os_thread(|| {
            let install = |size, flags| {
                let stack = libc::stack_t {
                    ss_sp: ptr::null_mut(),
                    ss_flags: flags,
                    ss_size: size,
                };
                // SAFETY: the kernel checks the values, and takes none of them.
                outcome(unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) })
            };
            [install(100, 0), install(SIZE, 77)]
        });
    });
}
