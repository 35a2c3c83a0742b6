//! The registrations of one descriptor with the reactors of the OS threads that wait for it.
//!
//! The OS thread that waits first keeps a registration for as long as the descriptor is open, and
//! caches the readiness there. Every wait on another OS thread makes a registration of its own.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, OnceLock};

use crate::reactor::{Source, deregister_remotely};
use crate::sched::{self, Scheduler};

/// The lasting registration of a descriptor, made by the first wait.
#[derive(Debug, Default)]
pub(super) struct Registration(OnceLock<Arc<Source>>);

impl Registration {
    /// Ends the registration. Must be called before the descriptor is closed.
    pub(super) fn end(&mut self) {
        let Some(source) = self.0.take() else { return };
        match sched::if_current() {
            Some(scheduler) if scheduler.is_own(source.owner()) => {
                scheduler.reactor.deregister(&source);
            }
            _ => deregister_remotely(&source),
        }
    }

    /// Returns the source if it is registered with the reactor of this OS thread.
    #[inline]
    pub(super) fn own(&self, scheduler: &Scheduler) -> Option<&Arc<Source>> {
        let source = self.0.get();
        source.filter(|source| scheduler.is_own(source.owner()))
    }

    /// Registers the descriptor with the reactor of this OS thread. If no other OS thread has done
    /// so, the registration lasts for as long as the descriptor is open. Otherwise it lasts until
    /// the result is dropped.
    ///
    /// # Errors
    ///
    /// Returns the error of the reactor.
    pub(super) fn register<'a>(
        &'a self,
        scheduler: &'a Scheduler,
        fd: BorrowedFd<'_>,
    ) -> io::Result<Registered<'a>> {
        let source = match self.0.get() {
            Some(source) => source,
            None => {
                let new = scheduler.reactor.register(fd)?;
                let source = self.0.get_or_init(|| Arc::clone(&new));
                if !Arc::ptr_eq(source, &new) {
                    // Another OS thread has registered it meanwhile.
                    scheduler.reactor.deregister(&new);
                }
                source
            }
        };
        if scheduler.is_own(source.owner()) {
            return Ok(Registered::Own(source));
        }
        TemporaryRegistration::new(scheduler, fd).map(Registered::Temporary)
    }
}

/// A source that a green thread of this OS thread can wait at.
#[derive(Debug)]
pub(super) enum Registered<'a> {
    Own(&'a Source),
    Temporary(TemporaryRegistration<'a>),
}

impl Registered<'_> {
    pub(super) fn source(&self) -> &Source {
        match self {
            Self::Own(source) => source,
            Self::Temporary(temporary) => temporary.source(),
        }
    }
}

/// A registration for one wait.
#[derive(Debug)]
pub(super) struct TemporaryRegistration<'a> {
    scheduler: &'a Scheduler,
    source: Arc<Source>,
}

impl<'a> TemporaryRegistration<'a> {
    /// Registers `fd`, which must not be closed before the registration is dropped.
    ///
    /// # Errors
    ///
    /// Returns the error of the reactor.
    pub(super) fn new(scheduler: &'a Scheduler, fd: BorrowedFd<'_>) -> io::Result<Self> {
        let source = scheduler.reactor.register(fd)?;
        Ok(Self { scheduler, source })
    }

    /// Registers `duplicate`, a duplicate of a descriptor, for one wait for readiness.
    ///
    /// # Errors
    ///
    /// Returns the error of the reactor.
    pub(super) fn of_duplicate(
        scheduler: &'a Scheduler,
        duplicate: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let source = scheduler.reactor.register_duplicate(duplicate)?;
        Ok(Self { scheduler, source })
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }
}

impl Drop for TemporaryRegistration<'_> {
    fn drop(&mut self) {
        self.scheduler.reactor.deregister(&self.source);
    }
}
