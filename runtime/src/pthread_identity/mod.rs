//! A pthread identity for a stack: what C and std take for the current thread.
//!
//! C and std keep state for each thread: thread locals, `errno`, `pthread_self`, the panic count,
//! `std::thread::current`. They find it through the *thread pointer*, a register. All green threads
//! of an OS thread normally share the OS thread's, so a library that relies on such state confuses
//! one green thread with another. A green thread whose stack has an identity has all of that state
//! to itself: the scheduler sets the thread pointer whenever it continues that green thread.
//!
//! # How an identity is made
//!
//! Nothing but the C library knows how to lay out the state of a thread. So a real pthread is created,
//! on the very stack that is to get the identity. It records its thread pointer, and ends its kernel
//! task with the bare system call. The C library does not notice that. What remains is memory at the
//! top of the stack, which the C library regards as a live thread:
//!
//! ```text
//!   top   -> +------------------------+
//!            | `struct pthread`       |  the thread pointer points into it
//!            | static thread locals   |
//!            | frames of the birth    |  continued at the end
//!   base  -> +------------------------+
//!            | frames of green threads|
//!            :                        :
//!   limit -> +------------------------+
//! ```
//!
//! That thread is never joined while its identity is in use. It keeps an id that no thread of the
//! kernel has. At the end of its OS thread, another kernel task returns from its start routine
//! ([`task`]), and the C library ends it as it ends each thread.
//!
//! # What this relies on
//!
//! Some of this is undocumented: where glibc keeps the thread id, which word the kernel clears, the
//! table of the blocks of thread locals, the names of two private symbols. [`glibc`] finds these facts at first use, and tries a first
//! identity before any green thread gets one. If a fact does not hold, [`check`] returns an error that
//! names it, and so does the spawn.
//!
//! # Invariants
//!
//! `[own-thread-pointer]` While a green thread with an identity runs code of the program, the thread
//! pointer is its own. While one without runs, it is that of the OS thread. The scheduler keeps this
//! (`sched::identity`).
//!
//! `[no-tls-across-a-change]` A function that changes the thread pointer uses no thread local itself,
//! and is not inlined. The compiler may compute the address of a thread local once for a whole
//! function.

#[cfg(evy_identity)]
mod birth;
#[cfg(evy_identity)]
mod blocks;
#[cfg(evy_identity)]
mod glibc;
#[cfg(evy_identity)]
mod id_words;
#[cfg(evy_identity)]
mod images;
#[cfg(evy_identity)]
mod loads;
#[cfg(evy_identity)]
mod machine;
#[cfg(evy_identity)]
mod os_thread;
#[cfg(evy_identity)]
mod robust;
#[cfg(evy_identity)]
mod task;
#[cfg(evy_identity)]
mod trial;
#[cfg(evy_identity)]
mod turns;
#[cfg(not(evy_identity))]
mod unsupported;

#[cfg(evy_identity)]
pub(crate) use birth::PthreadIdentity;
#[cfg(evy_identity)]
pub(crate) use glibc::is_identity;
#[cfg(evy_identity)]
pub(crate) use machine::ThreadPointer;
#[cfg(evy_identity)]
pub(crate) use os_thread::as_os_thread;
#[cfg(evy_identity)]
pub(crate) use trial::check;
#[cfg(evy_identity)]
pub(crate) use turns::is_parked_while;
#[cfg(not(evy_identity))]
pub(crate) use unsupported::{
    PthreadIdentity, ThreadPointer, as_os_thread, check, is_identity, is_parked_while,
};

/// The ids of identities begin here. The kernel has no such ids, and they fit into the bits that a
/// mutex has for its owner.
pub(crate) const FIRST_ID: i32 = 0x2000_0000;

/// Prepares the thread locals of a new identity for the green threads that will run under it. Called
/// with `data` on the new pthread, and again whenever its thread locals have been renewed.
pub(crate) type Adopt = unsafe fn(data: *const ());

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn identities_work_here_or_the_error_says_why_not() {
        match check() {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
                assert!(error.to_string().contains("identity of its own"), "{error}");
                assert!(
                    !cfg!(evy_identity) || std::env::var_os("CI").is_some(),
                    "{error}"
                );
            }
        }
    }
}
