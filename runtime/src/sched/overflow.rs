//! Stack overflow: a signal handler reports which green thread has overflowed its stack, and
//! aborts.
//!
//! The fault comes from the guard below a stack. The handler runs on a signal stack of its own, and
//! uses nothing but `write` and `abort`. A fault that is not in the guard of the running green
//! thread is passed to the handler that was installed before. Usually that is std's, which knows
//! the stacks of the OS threads. Nothing is unwound, because the fault may lie in the middle of a
//! function's prologue.

use std::fmt::{self, Write};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

use super::if_current;
use crate::green::Identity;
use crate::stack::GUARD_SIZE;

/// The size of a signal stack in bytes. std's handler reports from it too, and the frame of some
/// signals alone takes 3 KiB, on some processors 11 KiB.
const SIGNAL_STACK_SIZE: usize = 32 * 1024;

/// The handlers that were installed before, for SIGSEGV and SIGBUS.
static PREVIOUS: OnceLock<[libc::sigaction; 2]> = OnceLock::new();

const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Installs the handler once for the process, and a signal stack for this OS thread if it has none.
pub(super) fn install() {
    give_signal_stack();
    let mut first = false;
    PREVIOUS.get_or_init(|| {
        first = true;
        SIGNALS.map(|signal| {
            // SAFETY: an all-zero `sigaction` is valid, and the call only stores the current
            // handler in it.
            unsafe {
                let mut previous = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
                libc::sigaction(signal, ptr::null(), &raw mut previous);
                previous
            }
        })
    });
    if !first {
        return;
    }
    for signal in SIGNALS {
        // SAFETY:
        // - an all-zero `sigaction` is valid;
        // - `handle` has the signature that SA_SIGINFO requires, and does only what a signal
        //   handler may do;
        // - `handle` may run from here on, and the previous handlers are stored already.
        unsafe {
            let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
            action.sa_sigaction =
                handle as unsafe extern "C" fn(_, _, _) as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    }
}

/// Gives this OS thread a signal stack if it has none. std gives one to the OS threads that it
/// creates. An OS thread that C code has created may lack one.
fn give_signal_stack() {
    // SAFETY: an all-zero `stack_t` is valid, and the call only stores the current state in it.
    let current = unsafe {
        let mut current = MaybeUninit::<libc::stack_t>::zeroed().assume_init();
        libc::sigaltstack(ptr::null(), &raw mut current);
        current
    };
    if current.ss_flags & libc::SS_DISABLE == 0 {
        return;
    }
    // Leaked, because the kernel may use it until the very end of the OS thread.
    let memory = Box::leak(vec![0u8; SIGNAL_STACK_SIZE].into_boxed_slice());
    let signal_stack = libc::stack_t {
        ss_sp: memory.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: SIGNAL_STACK_SIZE,
    };
    // SAFETY: the memory is never freed, and nothing else uses it.
    unsafe { libc::sigaltstack(&raw const signal_stack, ptr::null_mut()) };
}

unsafe extern "C" fn handle(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid pointer.
    let address = unsafe { (*info).si_addr() }.addr();
    if let Some(scheduler) = if_current() {
        let me = scheduler.running();
        if let Some(stack) = &me.stack {
            let limit = stack.limit().addr();
            // Some processors report an address in the page below the one that was touched first.
            if (limit - GUARD_SIZE..limit + 64).contains(&address) {
                report(me.name(), me.identity(), stack.size());
            }
        }
    }
    // SAFETY: the arguments are passed on unchanged.
    unsafe { chain(signal, info, context) };
}

/// Does what the process would have done without this handler.
unsafe fn chain(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let index = usize::from(signal != SIGNALS[0]);
    let Some(previous) = PREVIOUS.get().map(|all| all[index]) else {
        return;
    };
    if previous.sa_sigaction == libc::SIG_DFL || previous.sa_sigaction == libc::SIG_IGN {
        // Restores the default. The instruction is repeated, faults again, and ends the process.
        // SAFETY: the action came from the system.
        unsafe { libc::sigaction(signal, &raw const previous, ptr::null_mut()) };
        return;
    }
    type Handler = unsafe extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
    let handler = ptr::with_exposed_provenance::<()>(previous.sa_sigaction);
    // SAFETY:
    // - it is neither of the two constants, so it is a function;
    // - a function installed without SA_SIGINFO ignores the arguments that it does not expect.
    let handler = unsafe { std::mem::transmute::<*const (), Handler>(handler) };
    // SAFETY: it is called as the kernel would call it.
    unsafe { handler(signal, info, context) };
}

/// Reports which green thread has overflowed its stack, and aborts.
fn report(name: Option<&str>, identity: Identity, size: usize) -> ! {
    let Identity { id, site, .. } = identity;
    let mut out = Stderr;
    let quote = if name.is_some() { "'" } else { "" };
    // `Stderr` ignores errors, because nothing could be done about them here.
    writeln!(
        out,
        "\nevy: green thread #{id} {quote}{}{quote} has overflowed its stack of {size} bytes\n\
         it was spawned at {}:{}; evy::thread::Builder::stack_size sets a larger stack",
        name.unwrap_or("(unnamed)"),
        site.file(),
        site.line(),
    )
    .ok();
    // SAFETY: always sound: it ends the process.
    unsafe { libc::abort() }
}

/// Standard error without a lock or a buffer, for use in a signal handler.
struct Stderr;

impl Write for Stderr {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: the pointer is valid for the length of the text.
        unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
        Ok(())
    }
}
