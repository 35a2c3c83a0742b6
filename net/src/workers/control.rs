//! `Control`: the state that workers, their handles and their services share.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evy_runtime::lowlevel::now;
use evy_runtime::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::handle::Stopped;
use super::listeners::{WeakListeners, WorkerListeners};
use super::registration::Registration;
use super::service::Service;
use super::worker::Worker;

/// How long `stop` waits beyond its deadline for OS threads that are computing.
const ANSWER_TIME: Duration = Duration::from_millis(100);

/// The state that workers, their handles and their services share.
pub(super) struct Control {
    pub(super) threads: usize,
    pub(super) shares_listener: bool,
    pub(super) stack_size: Option<usize>,
    pub(super) setup: Box<dyn Fn(Worker) + Send + Sync>,
    state: Mutex<State>,
    /// Notified of every change of the state.
    changed: Condvar,
}

pub(super) struct State {
    /// The deadline of a stop, once one is requested. The inner `None` never passes.
    pub(super) stop: Option<Option<Instant>>,
    pub(super) services: Vec<Registration>,
    /// Changes with the list of services.
    pub(super) services_version: u64,
    /// How many OS threads each worker has. One that was replaced may still answer requests.
    running: Vec<usize>,
    listeners: Vec<WeakListeners>,
    unaccepted: usize,
}

impl Control {
    pub(super) fn new(
        threads: usize,
        shares_listener: bool,
        stack_size: Option<usize>,
        setup: Box<dyn Fn(Worker) + Send + Sync>,
    ) -> Self {
        Self {
            threads,
            shares_listener,
            stack_size,
            setup,
            state: Mutex::new(State {
                stop: None,
                services: Vec::new(),
                services_version: 0,
                running: vec![0; threads],
                listeners: Vec::new(),
                unaccepted: 0,
            }),
            changed: Condvar::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change of the state, at most until `deadline`.
    pub(super) fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        match deadline {
            Some(deadline) => {
                let left = deadline.saturating_duration_since(now());
                let waited = self.changed.wait_timeout(state, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                let waited = self.changed.wait(state);
                waited.unwrap_or_else(PoisonError::into_inner)
            }
        }
    }

    /// Changes the state, and notifies those that wait for it. Destructors of the program do not
    /// run in `change`.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Makes those that wait check again what only their own OS thread knows.
    pub(super) fn notify(&self) {
        self.update(|_state| ());
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.lock().stop.is_some()
    }

    /// Returns the deadline of the stop. `None` never passes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lock().stop.flatten()
    }

    /// Whether the deadline of the stop has passed.
    pub(super) fn is_over(&self) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now())
    }

    /// Waits until `deadline` or, if that is earlier, until a stop begins.
    pub(super) fn wait_for_stop(&self, deadline: Instant) {
        let mut state = self.lock();
        while state.stop.is_none() && now() < deadline {
            state = self.wait(state, Some(deadline));
        }
    }

    pub(super) fn set_running(&self, index: usize) {
        self.update(|state| state.running[index] += 1);
    }

    pub(super) fn set_ended(&self, index: usize) {
        self.update(|state| state.running[index] -= 1);
    }

    /// Adds sockets to those that a stop closes.
    pub(super) fn add_listeners(&self, listeners: &WorkerListeners) -> io::Result<()> {
        let mut state = self.lock();
        if state.stop.is_some() {
            return Err(stopped());
        }
        state
            .listeners
            .retain(|listeners| listeners.upgrade().is_some());
        state.listeners.push(listeners.downgrade());
        drop(state);
        Ok(())
    }

    pub(super) fn listeners(&self) -> Vec<WorkerListeners> {
        let state = self.lock();
        state
            .listeners
            .iter()
            .filter_map(WeakListeners::upgrade)
            .collect()
    }

    pub(super) fn services(&self) -> Vec<Arc<dyn Service>> {
        let state = self.lock();
        let services = state.services.iter();
        services.map(|one| Arc::clone(&one.service)).collect()
    }

    pub(super) fn connections(&self) -> usize {
        let services = self.services();
        services.iter().map(|service| service.connections()).sum()
    }

    /// Begins a stop, or moves its deadline forward.
    pub(super) fn begin_stop(&self, deadline: Option<Instant>) {
        self.update(|state| {
            let Some(begun) = state.stop else {
                let listeners = state.listeners.iter().filter_map(WeakListeners::upgrade);
                listeners.for_each(|listeners| listeners.refuse_handshakes());
                state.stop = Some(deadline);
                return;
            };
            let deadlines = [begun, deadline].into_iter().flatten();
            state.stop = Some(deadlines.min());
        });
    }

    pub(super) fn add_unaccepted(&self, connections: usize) {
        self.update(|state| state.unaccepted += connections);
    }

    /// Waits until the OS threads have ended or, once a stop has begun, slightly beyond its
    /// deadline.
    pub(super) fn wait_until_stopped(&self) -> Stopped {
        let mut state = self.lock();
        while state.running.iter().any(|threads| *threads > 0) {
            let deadline = state.stop.flatten();
            let limit = deadline.and_then(|deadline| deadline.checked_add(ANSWER_TIME));
            if limit.is_some_and(|limit| limit <= now()) {
                break;
            }
            state = self.wait(state, limit);
        }
        let blocked_workers = state.running.iter().filter(|threads| **threads > 0).count();
        drop(state);
        let mut left = 0;
        for service in self.services() {
            let connections = service.connections();
            left += connections;
            if connections == 0 && blocked_workers == 0 {
                // It is not needed any more, and may hold a handle.
                self.remove_service(&service);
            }
        }
        // The workers have closed theirs, except for those that did not answer.
        let listeners = self.listeners();
        let unaccepted = listeners.iter().map(WorkerListeners::close_all).sum();
        self.add_unaccepted(unaccepted);
        Stopped {
            left,
            unaccepted: self.lock().unaccepted,
            blocked_workers,
        }
    }
}

#[cold]
pub(super) fn stopped() -> io::Error {
    io::Error::other("the workers were stopped")
}
