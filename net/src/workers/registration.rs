//! `Registration`: a service in the list of those that all workers run.

use std::io;
use std::sync::Arc;

use super::control::{Control, stopped};
use super::service::Service;

/// A service in the list of those that all workers run.
pub(super) struct Registration {
    pub(super) service: Arc<dyn Service>,
    /// Which workers have prepared it.
    is_prepared: Vec<bool>,
    /// Why a worker could not prepare it.
    failure: Option<io::Error>,
}

impl Registration {
    pub(super) fn is_for(&self, service: &Arc<dyn Service>) -> bool {
        Arc::ptr_eq(&self.service, service)
    }

    fn is_prepared(&self) -> bool {
        self.is_prepared.iter().all(|is_prepared| *is_prepared)
    }
}

impl Control {
    /// Runs a service on all workers, and waits until they have prepared it.
    pub(super) fn run_service(&self, service: Arc<dyn Service>) -> io::Result<()> {
        let registration = Registration {
            service: Arc::clone(&service),
            is_prepared: vec![false; self.threads],
            failure: None,
        };
        self.update(|state| match state.stop {
            Some(_) => Err(stopped()),
            None => {
                state.services.push(registration);
                state.services_version += 1;
                Ok(())
            }
        })?;
        let mut guard = RemoveOnDrop {
            control: self,
            service: Some(service),
        };
        guard.wait()?;
        guard.service = None;
        Ok(())
    }

    /// Records whether a worker could prepare a service. Returns `false` if it is to end there.
    pub(super) fn set_prepared(
        &self,
        service: &Arc<dyn Service>,
        index: usize,
        result: io::Result<()>,
    ) -> bool {
        self.update(|state| {
            let mut services = state.services.iter_mut();
            let Some(one) = services.find(|one| one.is_for(service)) else {
                return false;
            };
            match result {
                Ok(()) => one.is_prepared[index] = true,
                Err(error) if !one.is_prepared() => {
                    one.failure = Some(error);
                    return false;
                }
                // There is nothing left to return the error to, and the worker tries again.
                Err(_) => {}
            }
            true
        })
    }

    /// Ends a service on all workers.
    pub(super) fn remove_service(&self, service: &Arc<dyn Service>) {
        let removed = self.update(|state| {
            let index = state.services.iter().position(|one| one.is_for(service))?;
            state.services_version += 1;
            Some(state.services.remove(index))
        });
        // Without the lock, because that may run code of the program.
        drop(removed);
    }
}

/// Removes a service that not all workers could prepare, or whose caller unwinds.
struct RemoveOnDrop<'a> {
    control: &'a Control,
    service: Option<Arc<dyn Service>>,
}

impl RemoveOnDrop<'_> {
    fn wait(&self) -> io::Result<()> {
        let mut state = self.control.lock();
        loop {
            let is_stopping = state.stop.is_some();
            let mut services = state.services.iter_mut();
            let own = services.find(|one| self.service.as_ref().is_some_and(|s| one.is_for(s)));
            match own {
                // It has ended already.
                None => return Ok(()),
                Some(own) if own.failure.is_some() => {
                    return own.failure.take().map_or(Ok(()), Err);
                }
                Some(own) if own.is_prepared() => return Ok(()),
                Some(_) if is_stopping => return Err(stopped()),
                Some(_) => state = self.control.wait(state, None),
            }
        }
    }
}

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(service) = &self.service {
            self.control.remove_service(service);
        }
    }
}
