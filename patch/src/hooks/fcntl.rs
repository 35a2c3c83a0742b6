//! `fcntl`, for its commands that wait for a lock.
//!
//! The function of the C library is variadic. Its argument is passed like that of a function with
//! three parameters, on all architectures that this crate supports. An argument that a caller has
//! not passed is undefined, and not read.

use std::ffi::c_int;

use super::file_locks::lock_range;
use crate::Categories;

hooks! {
    @always fn fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
        match waiter(command) {
            None => real::fcntl(fd, command, argument),
            Some(caller) => lock_range(caller, fd, command, argument),
        }
    }

    @always fn fcntl64(fd: c_int, command: c_int, argument: usize) -> c_int {
        match waiter(command) {
            None => real::fcntl64(fd, command, argument),
            Some(caller) => lock_range(caller, fd, command, argument),
        }
    }
}

/// Returns the running green thread if it may park for this command.
#[inline(always)]
fn waiter(command: c_int) -> Option<evy_runtime::lowlevel::hooks::Caller> {
    match command {
        libc::F_SETLKW | libc::F_OFD_SETLKW => super::caller::current(Categories::OS),
        _ => None,
    }
}
