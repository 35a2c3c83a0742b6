//! A stack overflow names the green thread, then aborts.
//!
//! The fault comes from the guard below a stack. The handler runs on its own signal stack, uses
//! nothing but `write` and `abort`, and passes every fault that is not in the guard of the running
//! green thread to the handler that was there before: std's, which knows the OS threads' stacks.
//! Nothing is unwound: the fault may lie in the middle of a prologue.

use std::fmt::{self, Write};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

use super::if_current;
use crate::green::Identity;
use crate::stack::GUARD_SIZE;

/// Where std reports from; some signals' frames alone take 3 KiB, on some processors 11.
const SIGNAL_STACK_SIZE: usize = 32 * 1024;

/// The handlers that were there before ours: for SIGSEGV and SIGBUS.
static PREVIOUS: OnceLock<[libc::sigaction; 2]> = OnceLock::new();

const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Installs the handler once for the process, and a signal stack for this OS thread if it has none.
pub(super) fn install() {
    give_signal_stack();
    let mut first = false;
    PREVIOUS.get_or_init(|| {
        first = true;
        SIGNALS.map(|signal| {
            // SAFETY: an all-zero `sigaction` is a valid one, and the call only reads the present
            // state into it.
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
        // SAFETY: as above; `handle` has the signature that SA_SIGINFO asks for, and does only what
        // a signal handler may. What was there before is known already: `handle` may run from here.
        unsafe {
            let mut ours = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
            ours.sa_sigaction =
                handle as unsafe extern "C" fn(_, _, _) as *const () as libc::sighandler_t;
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&raw mut ours.sa_mask);
            libc::sigaction(signal, &raw const ours, ptr::null_mut());
        }
    }
}

/// std gives its own OS threads a signal stack; one that C code has made may lack it.
fn give_signal_stack() {
    // SAFETY: an all-zero `stack_t` is a valid one; the call only reads the present state into it.
    let present = unsafe {
        let mut present = MaybeUninit::<libc::stack_t>::zeroed().assume_init();
        libc::sigaltstack(ptr::null(), &raw mut present);
        present
    };
    if present.ss_flags & libc::SS_DISABLE == 0 {
        return;
    }
    // Leaked: the kernel may use it until the very end of the OS thread.
    let memory = Box::leak(vec![0u8; SIGNAL_STACK_SIZE].into_boxed_slice());
    let ours = libc::stack_t {
        ss_sp: memory.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: SIGNAL_STACK_SIZE,
    };
    // SAFETY: the memory is valid for ever and nobody else's.
    unsafe { libc::sigaltstack(&raw const ours, ptr::null_mut()) };
}

unsafe extern "C" fn handle(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel gives a valid one with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() }.addr();
    if let Some(scheduler) = if_current() {
        let me = scheduler.running();
        if let Some(stack) = &me.stack {
            let limit = stack.limit().addr();
            // Some processors report the page below the one that was touched first.
            if (limit - GUARD_SIZE..limit + 64).contains(&address) {
                report(me.name(), me.identity(), stack.size());
            }
        }
    }
    // SAFETY: passed on as it came.
    unsafe { chain(signal, info, context) };
}

/// Does what would have been done without us.
unsafe fn chain(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let index = usize::from(signal != SIGNALS[0]);
    let Some(previous) = PREVIOUS.get().map(|all| all[index]) else {
        return;
    };
    if previous.sa_sigaction == libc::SIG_DFL || previous.sa_sigaction == libc::SIG_IGN {
        // Back to the default: the instruction is repeated, faults again, and ends the process.
        // SAFETY: an action that the system gave us.
        unsafe { libc::sigaction(signal, &raw const previous, ptr::null_mut()) };
        return;
    }
    type Handler = unsafe extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
    let handler = ptr::with_exposed_provenance::<()>(previous.sa_sigaction);
    // SAFETY: it is neither of the two constants, so it is a function; one without SA_SIGINFO
    // ignores the arguments that it does not expect.
    let handler = unsafe { std::mem::transmute::<*const (), Handler>(handler) };
    // SAFETY: called as the kernel would call it.
    unsafe { handler(signal, info, context) };
}

/// Says which green thread, and aborts.
fn report(name: Option<&str>, identity: Identity, size: usize) -> ! {
    let Identity { id, site, .. } = identity;
    let mut out = Stderr;
    let quote = if name.is_some() { "'" } else { "" };
    // `Stderr` swallows errors: nothing could be done about them here.
    writeln!(
        out,
        "\nevy: green thread #{id} {quote}{}{quote} has overflowed its stack of {size} bytes\n\
         it was spawned at {}:{}; give it more with evy::thread::Builder::stack_size",
        name.unwrap_or("(unnamed)"),
        site.file(),
        site.line(),
    )
    .ok();
    // SAFETY: ends the process.
    unsafe { libc::abort() }
}

/// Standard error without a lock or a buffer.
struct Stderr;

impl Write for Stderr {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: the text is valid for its length.
        unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
        Ok(())
    }
}
