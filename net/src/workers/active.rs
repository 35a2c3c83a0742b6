//! `Active`: a service on one worker, which is prepared anew after it has failed.

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Instant;

use evy_runtime::lowlevel::contain_panic;
use evy_runtime::thread::JoinHandle;
use evy_runtime::{sleep, spawn};

use super::on_drop::OnDrop;
use super::pause::{PAUSE_MIN, longer};
use super::service::{Service, Serving};
use super::worker::Worker;

/// A service on one worker.
pub(super) struct Active {
    /// Its green thread owns it.
    service: Weak<dyn Service>,
    state: Rc<State>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// `None` while it is prepared.
    serving: RefCell<Option<Rc<dyn Serving>>>,
    is_stopping: Cell<bool>,
    is_over: Cell<bool>,
}

impl Active {
    pub(super) fn spawn(worker: &Worker, service: Arc<dyn Service>) -> Self {
        let owned = Arc::downgrade(&service);
        let state = Rc::<State>::default();
        let thread = spawn({
            let (worker, state) = (worker.clone(), Rc::clone(&state));
            move || {
                let _over = OnDrop(|| {
                    state.is_over.set(true);
                    worker.control.notify();
                });
                serve(&worker, &service, &state);
            }
        });
        Self {
            service: owned,
            state,
            thread,
        }
    }

    pub(super) fn is_for(&self, service: &Arc<dyn Service>) -> bool {
        ptr::addr_eq(self.service.as_ptr(), Arc::as_ptr(service))
    }

    /// Whether the service and its connections have ended.
    pub(super) fn is_over(&self) -> bool {
        self.state.is_over.get()
    }

    pub(super) fn announce_stop(&self) {
        if let Some(serving) = self.serving() {
            serving.announce_stop();
        }
    }

    /// Makes the service stop accepting, and end with its connections.
    pub(super) fn stop(&self, deadline: Option<Instant>) {
        self.state.is_stopping.set(true);
        match self.serving() {
            Some(serving) => serving.stop(deadline),
            // It has accepted nothing yet.
            None => self.thread.kill(),
        }
    }

    fn serving(&self) -> Option<Rc<dyn Serving>> {
        self.state.serving.borrow().clone()
    }
}

/// Prepares and serves until the service is stopped or ends.
fn serve(worker: &Worker, service: &Arc<dyn Service>, state: &State) {
    let control = &worker.control;
    let mut pause = PAUSE_MIN;
    loop {
        let prepared = without_panic(|| service.prepare(worker.clone()));
        let (serving, result) = match prepared {
            Ok(serving) => (Some(serving), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let is_wanted = control.set_prepared(service, worker.index(), result);
        if !is_wanted || state.is_stopping.get() {
            return;
        }
        if let Some(serving) = serving {
            let none = state.serving.replace(Some(Rc::clone(&serving)));
            drop(none);
            let result = without_panic(|| serving.serve());
            let last = state.serving.take();
            drop((last, serving));
            if state.is_stopping.get() {
                return;
            }
            if result.is_ok() {
                return control.remove_service(service);
            }
        }
        sleep(pause);
        pause = longer(pause);
    }
}

/// Turns a panic, which the panic hook has reported, into an error.
fn without_panic<T>(f: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let mut result = None;
    contain_panic(|| result = Some(f()));
    result.unwrap_or_else(|| Err(io::Error::other("a service panicked on a worker")))
}
