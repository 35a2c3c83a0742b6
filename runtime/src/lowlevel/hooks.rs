//! What code builds on that replaces functions of the C library, such as `evy-patch`.
//!
//! A replacement runs below frames of foreign code, so nothing here unwinds. It asks for a
//! [`Caller`], which exists only where parking is possible and does not confuse what the C library
//! keeps for each thread. Otherwise it makes the real call.
//!
//! # Examples
//!
//! ```
//! use evy::lowlevel::hooks::{Caller, Interruption, WaitEnd};
//! use evy::lowlevel::WaitReason;
//! use std::time::{Duration, Instant};
//!
//! fn sleep(time: Duration) {
//!     let Some(caller) = Caller::current() else {
//!         return std::thread::sleep(time);
//!     };
//!     let deadline = caller.deadline_after(time);
//!     let reason = WaitReason::Sleep;
//!     while caller.park(reason, deadline, Interruption::Waits) == WaitEnd::Woken {}
//! }
//! sleep(Duration::from_millis(1));
//! ```

use std::io;
use std::marker::PhantomData;
use std::os::fd::RawFd;
use std::panic::Location;
use std::time::{Duration, Instant};

use crate::green::{State, StaysOnItsOsThread, WaitReason};
use crate::io::Direction;
use crate::sched::{self, Scheduler};
use crate::thread::{CountGuard, Parker, deadline_after_any_thread, foreign_wait};
use crate::{pthread_identity, unhooked};

pub use crate::thread::foreign_wait::{Interruption, WaitEnd};

/// The running green thread, which may park where foreign code has called.
///
/// It is meant for the call in which it was obtained. If it is kept and used where there would be no
/// caller, nothing parks: a wait ends at once as if it had been woken, and no descriptor can be polled.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    stays: PhantomData<*const StaysOnItsOsThread>,
}

impl Caller {
    /// Returns the running green thread, if it may park here.
    ///
    /// That is so if it has a pthread identity of its own, or is the root green thread, and no code of
    /// the runtime is between it and the caller.
    #[inline]
    #[must_use]
    pub fn current() -> Option<Self> {
        let stays = PhantomData;
        scheduler_of_caller().map(|_| Self { stays })
    }

    /// Returns the moment `time` from now. `None` never comes.
    #[must_use]
    pub fn deadline_after(self, time: Duration) -> Option<Instant> {
        deadline_after_any_thread(time)
    }

    /// Registers descriptors, for the waits of one call.
    ///
    /// # Errors
    ///
    /// Returns the error of the system: that a descriptor is not open, or that it cannot be polled
    /// (`EPERM`).
    pub fn register(self, wanted: &[(RawFd, Direction)]) -> io::Result<Registered> {
        let Some(scheduler) = scheduler_of_caller() else {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        };
        let registered = foreign_wait::Registered::new(scheduler, wanted)?;
        Ok(Registered {
            registered,
            stays: PhantomData,
        })
    }

    /// Parks until a [`Waker`] of this green thread is used, or the deadline passes. Other events may
    /// end the wait too.
    #[must_use]
    pub fn park(
        self,
        reason: WaitReason,
        deadline: Option<Instant>,
        interruption: Interruption,
    ) -> WaitEnd {
        let Some(scheduler) = scheduler_of_caller() else {
            return WaitEnd::Woken;
        };
        let _counted = CountGuard::new(&scheduler.shared_waiters);
        foreign_wait::wait(scheduler, reason, deadline, interruption)
    }

    /// Lets the other ready green threads run first.
    pub fn yield_now(self) {
        if scheduler_of_caller().is_some() {
            crate::thread::yield_uninterrupted();
        }
    }

    /// Returns what ends [`park`](Self::park) from any OS thread.
    #[must_use]
    pub fn waker(self) -> Waker {
        // The first one of a green thread allocates, and an allocator may call a hook.
        unhooked::unhooked(|| Waker(Parker::current()))
    }
}

/// Descriptors that are registered for the waits of one call.
#[derive(Debug)]
pub struct Registered {
    registered: foreign_wait::Registered,
    stays: PhantomData<*const StaysOnItsOsThread>,
}

impl Registered {
    /// Parks until one of the descriptors may be ready.
    ///
    /// The caller tries before each wait, and does not park between the two. Only a change since then
    /// ends the wait. The first wait also ends if a descriptor is ready already. Only the green thread
    /// that has registered them can wait: for others, and where it may not park, the wait ends at once.
    #[must_use]
    pub fn wait(
        &mut self,
        reason: WaitReason,
        deadline: Option<Instant>,
        interruption: Interruption,
    ) -> WaitEnd {
        match scheduler_of_caller() {
            Some(scheduler) => self
                .registered
                .wait(scheduler, reason, deadline, interruption),
            None => WaitEnd::Woken,
        }
    }
}

/// Returns the scheduler, if the running green thread is a [`Caller`].
#[inline]
fn scheduler_of_caller<'a>() -> Option<&'a Scheduler> {
    let scheduler = sched::if_current()?;
    let me = scheduler.running();
    let has_identity = me.pthread.get().is_some() || me == scheduler.root();
    let may_park = has_identity
        && !unhooked::is_unhooked()
        && matches!(me.state.get(), State::Ready(_))
        && scheduler.may_park();
    may_park.then_some(scheduler)
}

/// Ends the wait of a green thread from any OS thread.
#[derive(Debug)]
pub struct Waker(Parker);

impl Waker {
    /// Ends the current wait. Does nothing if the green thread does not wait.
    ///
    /// Returns `false` if the OS thread of the green thread has ended, so the wait never ends.
    pub fn wake(&self) -> bool {
        match unhooked::is_unhooked() {
            // The runtime is called from the middle of its own code, such as by an allocator.
            true => self.0.unpark_remotely(),
            false => unhooked::unhooked(|| self.0.unpark()),
        }
        // Asked last: an OS thread that ends meanwhile is noticed.
        !self.0.is_abandoned()
    }

    /// Ends the current wait like [`wake`](Self::wake), and may be called in a signal handler: it takes no
    /// lock, and neither allocates nor frees.
    pub fn wake_from_signal_handler(&self) -> bool {
        self.0.unpark_remotely();
        !self.0.is_abandoned()
    }
}

/// Gives each green thread that is spawned from now on a pthread identity of its own.
///
/// # Errors
///
/// Returns `Unsupported`, with the reason, where identities do not work.
pub fn give_identities_to_all() -> io::Result<()> {
    check_identities()?;
    sched::give_identities_to_all();
    Ok(())
}

/// Checks that green threads can have pthread identities in this process. The first call tries it.
///
/// # Errors
///
/// Returns `Unsupported`, with the reason, if they cannot.
pub fn check_identities() -> io::Result<()> {
    pthread_identity::check()
}

/// Runs `f` on another green thread, with a pthread identity of its own, and joins that. It has the
/// name of the caller and a stack of the same size. Reports name `site` as its spawn site.
///
/// Parks until `f` has returned.
///
/// # Errors
///
/// Returns an error if identities do not work, or if no stack can be allocated.
///
/// # Panics
///
/// Panics if `f` does.
///
/// # Examples
///
/// ```
/// use std::panic::Location;
///
/// let word = String::from("word");
/// match evy::lowlevel::hooks::with_identity(Location::caller(), || word.len()) {
///     Ok(length) => assert_eq!(length, 4),
///     Err(error) => println!("{error}"),
/// }
/// ```
pub fn with_identity<R>(site: &'static Location<'static>, f: impl FnOnce() -> R) -> io::Result<R> {
    crate::thread::with_identity(site, f)
}

/// Whether a thread id, such as the owner of a mutex, is that of a green thread with a pthread identity
/// of its own.
#[inline]
#[must_use]
pub fn is_identity(id: i32) -> bool {
    id >= pthread_identity::FIRST_ID
}

/// Whether a pthread is the identity of a green thread.
///
/// # Safety
///
/// The program has not joined it.
#[must_use]
pub unsafe fn is_identity_thread(thread: libc::pthread_t) -> bool {
    // SAFETY: as here (caller).
    unsafe { pthread_identity::is_identity(thread) }
}

/// Whether `holds` is true while the identity with this id does not run: its green thread is parked or
/// ready. Of more than 65,536 identities, the answer for an old one may be wrong.
#[must_use]
pub fn is_parked_while(id: i32, holds: impl FnOnce() -> bool) -> bool {
    pthread_identity::is_parked_while(id, holds)
}

/// Whether the running green thread can park below frames of foreign code: it has a pthread identity of
/// its own, or is the root green thread. An OS thread that has not used evy would be the latter.
#[must_use]
pub fn can_have_hooks() -> bool {
    sched::if_current().is_none_or(|scheduler| {
        let me = scheduler.running();
        me.pthread.get().is_some() || me == scheduler.root()
    })
}

/// Whether the calling OS thread has green threads, or has had some.
#[must_use]
pub fn has_scheduler() -> bool {
    sched::if_current().is_some()
}

/// Takes the scheduler away from the calling thread in the child of a `fork`, if it has one. A hook that has
/// called `fork` [as the OS thread](as_os_thread) calls this then, because handlers of `fork` have seen
/// only the OS thread.
///
/// # Safety
///
/// The calling process is such a child, and evy has not been called in it.
pub unsafe fn enter_child() {
    sched::enter_child();
}

/// Returns the lowest address and the size of the stack that the C library takes for that of the calling
/// pthread, if that is the identity of a green thread.
#[must_use]
pub fn own_stack() -> Option<(*mut u8, usize)> {
    let me = sched::if_current()?.running();
    let top = me.pthread.get()?.top();
    let limit = me.stack.as_ref()?.limit();
    Some((limit, top.addr() - limit.addr()))
}

/// Runs `f` under the pthread identity of the OS thread, as `fork` and `setuid` must run. Hooks make
/// the real call meanwhile.
///
/// # Safety
///
/// `f` uses no reference to a thread local from outside, and no address of one, such as that of
/// `errno`.
pub unsafe fn as_os_thread<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: no hook parks meanwhile. `f` is as required (caller).
    unsafe { pthread_identity::as_os_thread(f) }
}
