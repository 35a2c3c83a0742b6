//! Functions that the C library makes of many calls of its own: commands of the shell, and
//! asynchronous input and output. They run on a helper OS thread.

use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;
use std::ptr;

use evy_runtime::lowlevel::WaitReason;
use libc::{FILE, aiocb, sigevent, sigset_t, timespec};

use super::helper::{Helpers, Lent};

/// The calls. Each must be able to wait at once, because one may end another.
static CALLS: Helpers = Helpers::new(usize::MAX);

const COMMAND: WaitReason = WaitReason::Other("a command of the shell");
const INPUT_OUTPUT: WaitReason = WaitReason::Other("asynchronous input and output");

hooks! {
    OS: fn system(command: *const c_char) -> c_int {
        |caller| {
            let (command, mask) = (Lent::new(command), signal_mask());
            CALLS.run_with_errno(caller, COMMAND, move || with_mask(&mask, || real::system(command.get())))
        }
    }

    OS: fn pclose(stream: *mut FILE) -> c_int {
        |caller| {
            let stream = Lent::new(stream);
            CALLS.run_with_errno(caller, COMMAND, move || real::pclose(stream.get()))
        }
    }

    OS: fn aio_suspend(list: *const *const aiocb, count: c_int, timeout: *const timespec) -> c_int {
        |caller| {
            let lent = Lent::new((list, timeout));
            CALLS.run_with_errno(caller, INPUT_OUTPUT, move || {
                let (list, timeout) = lent.get();
                real::aio_suspend(list, count, timeout)
            })
        }
    }

    OS: fn aio_suspend64(
        list: *const *const aiocb,
        count: c_int,
        timeout: *const timespec,
    ) -> c_int {
        |_caller| aio_suspend(list, count, timeout)
    }

    OS: fn lio_listio(
        mode: c_int,
        list: *const *mut aiocb,
        count: c_int,
        notice: *mut sigevent,
    ) -> c_int {
        |caller| {
            if mode != libc::LIO_WAIT {
                return real::lio_listio(mode, list, count, notice);
            }
            let lent = Lent::new((list, notice));
            CALLS.run_with_errno(caller, INPUT_OUTPUT, move || {
                let (list, notice) = lent.get();
                real::lio_listio(mode, list, count, notice)
            })
        }
    }

    OS: fn lio_listio64(
        mode: c_int,
        list: *const *mut aiocb,
        count: c_int,
        notice: *mut sigevent,
    ) -> c_int {
        |_caller| lio_listio(mode, list, count, notice)
    }
}

fn signal_mask() -> sigset_t {
    let mut mask = MaybeUninit::uninit();
    // SAFETY: the call initializes the mask.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), mask.as_mut_ptr());
        mask.assume_init()
    }
}

/// Runs `f` with this signal mask, which its child processes inherit.
fn with_mask<T>(mask: &sigset_t, f: impl FnOnce() -> T) -> T {
    let mut before = MaybeUninit::uninit();
    // SAFETY: the masks are initialized.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, mask, before.as_mut_ptr());
        let value = f();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        value
    }
}
