//! `SharedConnection`: a connection that the server and the body of a request share.
//!
//! Both use it inside [`SharedConnection::with`], which takes it out and puts it back, also if it
//! unwinds: a timeout around a read of the body leaves the connection able to answer.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use evy_net::Stream;
use evy_runtime::lowlevel::{WaitQueue, WaitReason, current_id};

use super::connection::Connection;

/// A connection that is used by one green thread at a time.
pub(super) struct SharedConnection<S: Stream>(Rc<Inner<S>>);

struct Inner<S: Stream> {
    /// `None` while it is in use, and once it was closed.
    slot: Cell<Option<Box<Connection<S>>>>,
    is_closed: Cell<bool>,
    /// The green thread that uses the connection.
    user: Cell<u64>,
    free: WaitQueue,
    /// The number of the request whose body can still be read; zero for none.
    body_of: Cell<u64>,
}

impl<S: Stream> SharedConnection<S> {
    pub(super) fn new(connection: Connection<S>) -> Self {
        Self(Rc::new(Inner {
            slot: Cell::new(Some(Box::new(connection))),
            is_closed: Cell::new(false),
            user: Cell::new(0),
            free: WaitQueue::new(),
            body_of: Cell::new(0),
        }))
    }

    /// Runs `f` on the connection.
    ///
    /// Parks until no other green thread uses it.
    ///
    /// # Errors
    ///
    /// Returns the error of `f`, and `NotConnected` if the connection was closed.
    pub(super) fn with<R>(
        &self,
        f: impl FnOnce(&mut Connection<S>) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut lent = self.take()?;
        match &mut lent.connection {
            Some(connection) => f(connection),
            None => Err(closed()),
        }
    }

    /// Takes the connection out for good.
    ///
    /// # Errors
    ///
    /// Returns an error as [`with`](Self::with) does.
    pub(super) fn into_connection(self) -> io::Result<Connection<S>> {
        let connection = self.take()?.connection.take();
        self.close();
        connection.map(|boxed| *boxed).ok_or_else(closed)
    }

    fn take(&self) -> io::Result<Lent<'_, S>> {
        let inner = &*self.0;
        loop {
            if let Some(connection) = inner.slot.take() {
                inner.user.set(current_id());
                let connection = Some(connection);
                return Ok(Lent { inner, connection });
            }
            if inner.is_closed.get() {
                return Err(closed());
            }
            if inner.user.get() == current_id() {
                let message = "the connection is in use by this green thread";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
            }
            inner
                .free
                .wait(WaitReason::Other("its connection to be free"));
        }
    }

    /// Closes the connection; if it is in use, as soon as it is not.
    fn close(&self) {
        self.0.is_closed.set(true);
        if let Some(connection) = self.0.slot.take() {
            connection.end();
        }
        self.0.free.wake_all();
    }

    /// Returns a guard that closes the connection.
    pub(super) fn close_on_drop(&self) -> CloseGuard<S> {
        CloseGuard(self.clone())
    }

    /// Records whether the body of the request with this number can be read.
    pub(super) fn set_body_of(&self, request_number: u64, can_be_read: bool) {
        if can_be_read {
            self.0.body_of.set(request_number);
        } else if self.0.body_of.get() == request_number {
            self.0.body_of.set(0);
        }
    }

    /// Whether the program still has the body of the request with this number.
    pub(super) fn has_body_of(&self, request_number: u64) -> bool {
        self.0.body_of.get() == request_number
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection is closed")
}

impl<S: Stream> Clone for SharedConnection<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

/// The connection, until it is put back.
struct Lent<'a, S: Stream> {
    inner: &'a Inner<S>,
    connection: Option<Box<Connection<S>>>,
}

impl<S: Stream> Drop for Lent<'_, S> {
    fn drop(&mut self) {
        self.inner.user.set(0);
        let Some(connection) = self.connection.take() else {
            return;
        };
        if self.inner.is_closed.get() {
            connection.end();
        } else {
            self.inner.slot.set(Some(connection));
            self.inner.free.wake_one();
        }
    }
}

/// Closes a connection when it is dropped.
pub(super) struct CloseGuard<S: Stream>(SharedConnection<S>);

impl<S: Stream> Drop for CloseGuard<S> {
    fn drop(&mut self) {
        self.0.close();
    }
}
