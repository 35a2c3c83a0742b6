//! `Shared`: what all handles of a stream share.
//!
//! # Locks
//!
//! - A reader holds `incoming`, and a writer `outgoing`, while it waits for the transport. A second
//!   one gets an error, as with a TCP stream. A reader that sends an alert holds `outgoing` for a
//!   short time too, and a writer waits for it.
//! - `connection` is held while rustls computes. It is a lock of evy, because rustls may call code
//!   of the program, such as a session store, which may park. A writer also holds it while it waits
//!   for the transport, if there is no other handle that could want it.
//! - They are locked in the order `incoming`, `outgoing`, `connection`.
//!
//! None of them is ever unusable after a kill, a timeout or a panic. The buffers are consistent
//! whenever they are held at a parking point, and rustls fails on its own if the processing of a
//! record was interrupted.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use evy_runtime::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use rustls::Connection;

use crate::incoming::Incoming;
use crate::outgoing::Outgoing;
use crate::session::Session;
use crate::timeout::Timeout;

/// What all handles of a stream share.
#[derive(Debug)]
pub(crate) struct Shared {
    connection: Mutex<Connection>,
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Outgoing>,
    /// Set at the end of the handshake.
    pub(crate) session: OnceLock<Session>,
    pub(crate) handshake_timeout: Option<Duration>,
    pub(crate) read_timeout: Timeout,
    pub(crate) write_timeout: Timeout,
    /// Whether a reader holds the sending side, or is about to take it.
    reader_sends: AtomicBool,
    handles: AtomicUsize,
    /// Whether the data that were written may be incomplete, so that their end must not be regular.
    is_cut: AtomicBool,
    /// Whether nothing more may be encrypted, after `close_notify` or a reset. Another handle that
    /// writes does not hold up a reset.
    is_closed: AtomicBool,
}

impl Shared {
    /// Creates the state of a stream with one handle.
    pub(crate) fn new(connection: Connection, handshake_timeout: Option<Duration>) -> Self {
        Self {
            connection: Mutex::new(connection),
            incoming: Mutex::new(Incoming::new()),
            outgoing: Mutex::new(Outgoing::default()),
            session: OnceLock::new(),
            handshake_timeout,
            read_timeout: Timeout::default(),
            write_timeout: Timeout::default(),
            reader_sends: AtomicBool::new(false),
            handles: AtomicUsize::new(1),
            is_cut: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn add_handle(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes a handle. Returns `true` if it was the last one.
    pub(crate) fn remove_handle(&self) -> bool {
        self.handles.fetch_sub(1, Ordering::AcqRel) == 1
    }

    #[inline]
    pub(crate) fn has_other_handles(&self) -> bool {
        self.handles.load(Ordering::Acquire) > 1
    }

    pub(crate) fn mark_cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    pub(crate) fn connection(&self) -> MutexGuard<'_, Connection> {
        wait(&self.connection)
    }

    /// Waits for the buffers in both directions.
    pub(crate) fn both_buffers(&self) -> (MutexGuard<'_, Incoming>, MutexGuard<'_, Outgoing>) {
        (wait(&self.incoming), wait(&self.outgoing))
    }

    /// Returns the buffer of a reader.
    ///
    /// # Errors
    ///
    /// Returns `ResourceBusy` if another green thread reads.
    pub(crate) fn incoming(&self) -> io::Result<MutexGuard<'_, Incoming>> {
        try_lock(
            &self.incoming,
            "another green thread is already reading from this TLS stream",
        )
    }

    /// Returns the sending side to a writer.
    ///
    /// Parks while a reader sends an alert.
    ///
    /// # Errors
    ///
    /// Returns `ResourceBusy` if another green thread writes.
    pub(crate) fn outgoing(&self) -> io::Result<MutexGuard<'_, Outgoing>> {
        if let Some(outgoing) = free(&self.outgoing) {
            return Ok(outgoing);
        }
        if self.reader_sends.load(Ordering::Acquire) {
            return Ok(wait(&self.outgoing));
        }
        // A reader may have held it until now.
        try_lock(
            &self.outgoing,
            "another green thread is already writing to this TLS stream",
        )
    }

    /// Calls `send` with the sending side, unless another green thread writes.
    pub(crate) fn send_as_reader(&self, send: impl FnOnce(&mut Outgoing)) {
        // Set before the lock is taken, and cleared after it is released, so that a writer knows why
        // it has to wait.
        self.reader_sends.store(true, Ordering::Release);
        let _guard = ReaderSends(self);
        if let Some(mut outgoing) = free(&self.outgoing) {
            send(&mut outgoing);
        }
    }
}

/// Clears the flag of a reader that sends, however that ends.
struct ReaderSends<'a>(&'a Shared);

impl Drop for ReaderSends<'_> {
    fn drop(&mut self) {
        self.0.reader_sends.store(false, Ordering::Release);
    }
}

fn wait<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_lock<'a, T>(mutex: &'a Mutex<T>, message: &'static str) -> io::Result<MutexGuard<'a, T>> {
    free(mutex).ok_or_else(|| io::Error::new(io::ErrorKind::ResourceBusy, message))
}

/// Locks a mutex that is free.
fn free<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
