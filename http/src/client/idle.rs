//! `IdleConnections`: the connections of a client that wait for another request.
//!
//! A connection that has been idle for a moment gets a watcher: a green thread that reads from it.
//! The watcher drops the connection when its peer closes it or sends anything, or when its time is
//! up. A busy client reuses its connections before that, and pays nothing for watchers. Watchers run
//! in the background, so that they hide no deadlock.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use evy_runtime::lowlevel::{background, now};
use evy_runtime::sleep;
use evy_runtime::thread::{Builder, JoinHandle};

use super::deadline::Deadline;
use super::destination::Destination;
use super::exchange::ClientStream;

/// The maximum number of idle connections, over all hosts.
const MAX_IDLE: usize = 128;

/// How long a connection is idle at least before it is watched.
const UNWATCHED: Duration = Duration::from_millis(50);

/// The idle connections of a client.
#[derive(Default)]
pub(super) struct IdleConnections(Rc<Table>);

#[derive(Default)]
struct Table {
    /// The most recently used connection is the last one.
    connections: RefCell<Vec<Rc<IdleConnection>>>,
    /// The green thread that starts watchers, while there are connections without one.
    starter: Cell<Option<JoinHandle<()>>>,
}

struct IdleConnection {
    destination: Destination,
    since: Instant,
    expires: Deadline,
    /// `None` while the watcher has it, and once it was closed.
    stream: Cell<Option<ClientStream>>,
    watcher: Cell<Option<JoinHandle<()>>>,
    is_watched: Cell<bool>,
    /// Whether the watch is over, so that the watcher is to give the stream back.
    is_wanted: Cell<bool>,
}

impl IdleConnections {
    /// Removes and returns the most recently used connection to `destination` on which the server
    /// has sent nothing, and which it has not closed.
    ///
    /// Parks for a moment if there is one that is not a socket.
    pub(super) fn take(&self, destination: &Destination) -> Option<ClientStream> {
        loop {
            let connection = self.0.remove_last(destination)?;
            if let Some(mut stream) = connection.stop_watching()
                && connection.expires.remaining().is_ok()
                && stream.stream.is_silent()
            {
                return Some(stream);
            }
        }
    }

    /// Keeps a connection for `timeout`, unless `max` connections to its destination are kept
    /// already. If there are too many over all hosts, the least recently used one is dropped.
    pub(super) fn put(
        &self,
        destination: Destination,
        mut stream: ClientStream,
        max: usize,
        timeout: Duration,
    ) {
        let mut connections = self.0.connections.borrow_mut();
        let is_same = |kept: &&Rc<IdleConnection>| kept.destination == destination;
        if connections.iter().filter(is_same).count() >= max {
            return;
        }
        drop(stream.take_input());
        let is_full = connections.len() == MAX_IDLE;
        let surplus = is_full.then(|| connections.remove(0));
        connections.push(Rc::new(IdleConnection {
            destination,
            since: now(),
            expires: Deadline::after(timeout),
            stream: Cell::new(Some(stream)),
            watcher: Cell::new(None),
            is_watched: Cell::new(false),
            is_wanted: Cell::new(false),
        }));
        drop(connections);
        // Its destructor may park.
        drop(surplus.map(|surplus| surplus.stop_watching()));
        self.0.ensure_starter();
    }
}

impl Table {
    fn remove_last(&self, destination: &Destination) -> Option<Rc<IdleConnection>> {
        let mut connections = self.connections.borrow_mut();
        let at = connections
            .iter()
            .rposition(|kept| kept.destination == *destination)?;
        Some(connections.remove(at))
    }

    /// Makes sure that connections which stay idle will be watched.
    fn ensure_starter(self: &Rc<Self>) {
        let starter = self.starter.take();
        if starter
            .as_ref()
            .is_some_and(|starter| !starter.is_finished())
        {
            self.starter.set(starter);
            return;
        }
        let table = Rc::downgrade(self);
        // Without a stack, connections are closed at the next request.
        let started = Builder::new().spawn(move || background(|| start_watchers(&table)));
        self.starter.set(started.ok());
    }

    /// Watches the connections that have been idle for a while. Returns when the next one has.
    fn watch(self: &Rc<Self>) -> Option<Instant> {
        let connections = self.connections.borrow();
        let unwatched = connections.iter().filter(|kept| !kept.is_watched.get());
        let mut next = None;
        for kept in unwatched {
            let due = kept.since + UNWATCHED;
            if due > now() {
                next = next.or(Some(due));
                continue;
            }
            kept.is_watched.set(true);
            let (connection, table) = (Rc::clone(kept), Rc::downgrade(self));
            let watcher = Builder::new().spawn(move || background(|| connection.watch(&table)));
            kept.watcher.set(watcher.ok());
        }
        next
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if let Some(starter) = self.starter.take() {
            starter.kill();
        }
        for connection in self.connections.take() {
            drop(connection.stop_watching());
        }
    }
}

/// Starts watchers until all connections have one.
fn start_watchers(table: &Weak<Table>) {
    let mut pause = UNWATCHED;
    loop {
        sleep(pause);
        let Some(next) = table.upgrade().and_then(|table| table.watch()) else {
            return;
        };
        pause = next.saturating_duration_since(now());
    }
}

impl IdleConnection {
    /// Ends the watch, and returns the connection unless it was closed.
    fn stop_watching(&self) -> Option<ClientStream> {
        if let Some(watcher) = self.watcher.take() {
            self.is_wanted.set(true);
            watcher.kill();
        }
        self.stream.take()
    }

    /// Waits until the connection cannot be used any longer, and drops it.
    fn watch(self: &Rc<Self>, table: &Weak<Table>) {
        let mut lent = LentStream {
            stream: self.stream.take(),
            connection: self,
        };
        if let (Some(stream), Ok(left)) = (&mut lent.stream, self.expires.remaining()) {
            let read = stream.stream.read_within(left);
            // With `panic = "abort"`, a kill makes the read fail.
            if read.is_err() && self.is_wanted.get() {
                return;
            }
            // Whatever else has come, the connection is of no use.
        }
        let stream = lent.stream.take();
        if let Some(table) = table.upgrade() {
            let mut connections = table.connections.borrow_mut();
            connections.retain(|kept| !Rc::ptr_eq(kept, self));
        }
        drop(stream);
    }
}

/// A stream that a watcher has, and that is put back if the watcher is killed.
struct LentStream<'a> {
    stream: Option<ClientStream>,
    connection: &'a IdleConnection,
}

impl Drop for LentStream<'_> {
    fn drop(&mut self) {
        self.connection.stream.set(self.stream.take());
    }
}
