//! The OS thread of a worker: runs the services until it is stopped or replaced.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use evy_runtime::lowlevel::now;
use evy_runtime::{shutdown, sleep, spawn, spawn_n};

use super::active::Active;
use super::on_drop::OnDrop;
use super::pause::{PAUSE_MAX, PAUSE_MIN, longer};
use super::worker::Worker;

/// How long a worker accepts connections whose handshake was under way when the stop began.
const SETTLE_TIME: Duration = Duration::from_millis(50);

/// How long a worker that was replaced answers the requests that are in progress.
const GRACE_OF_REPLACED: Duration = Duration::from_secs(10);

/// Starts the OS thread of a worker.
///
/// # Errors
///
/// Returns an error if the system cannot create it.
pub(super) fn start(worker: Worker) -> io::Result<()> {
    start_after(worker, Duration::ZERO)
}

/// Starts the OS thread of a worker, which pauses first.
fn start_after(worker: Worker, pause: Duration) -> io::Result<()> {
    let index = worker.index();
    worker.control.set_running(index);
    // Dropped with the closure if there is no OS thread.
    let ended = OnDrop({
        let control = Arc::clone(&worker.control);
        move || control.set_ended(index)
    });
    let builder = thread::Builder::new().name(format!("evy-worker-{index}"));
    let thread = builder.spawn(move || {
        run(&worker, pause);
        drop(ended);
    });
    thread.map(drop)
}

/// Runs a worker to its end.
fn run(worker: &Worker, pause: Duration) {
    let control = &worker.control;
    control.wait_for_stop(now() + pause);
    let started = now();
    let mut runner = Runner::new(worker);
    let mut is_replaced = false;
    if runner.serve() == Ended::Failed {
        let is_lasting = now().duration_since(started) > PAUSE_MAX;
        let next_pause = match is_lasting {
            true => Duration::ZERO,
            false => longer(pause),
        };
        is_replaced = replace(worker, next_pause);
    }
    runner.announce_stop();
    if is_replaced {
        runner.deadline = now().checked_add(GRACE_OF_REPLACED);
        runner.stop_accepting();
    } else {
        runner.serve_queued();
        runner.stop_accepting();
        let listeners = control.listeners();
        let queued = listeners.iter().map(|one| one.close(worker.index())).sum();
        control.add_unaccepted(queued);
    }
    runner.drain();
}

/// Starts another OS thread for a worker. Returns `false` if the workers are stopped meanwhile.
fn replace(worker: &Worker, pause: Duration) -> bool {
    let mut retry = PAUSE_MIN;
    while !worker.control.is_stopping() {
        if start_after(worker.clone(), pause).is_ok() {
            return true;
        }
        worker.control.wait_for_stop(now() + retry);
        retry = longer(retry);
    }
    false
}

/// Why a worker does not run any more services.
#[derive(PartialEq, Eq)]
enum Ended {
    Stopped,
    /// Its setup panicked.
    Failed,
}

/// What a worker runs.
struct Runner<'a> {
    worker: &'a Worker,
    active: Vec<Active>,
    has_failed: Rc<Cell<bool>>,
    /// The deadline of a worker that was replaced.
    deadline: Option<Instant>,
}

impl<'a> Runner<'a> {
    fn new(worker: &'a Worker) -> Self {
        Self {
            worker,
            active: Vec::new(),
            has_failed: Rc::default(),
            deadline: None,
        }
    }

    /// Runs the setup and the services.
    fn serve(&mut self) -> Ended {
        self.spawn_setup();
        let control = &self.worker.control;
        let mut version = 0;
        loop {
            let state = control.lock();
            if state.stop.is_some() {
                return Ended::Stopped;
            }
            if self.has_failed.get() {
                return Ended::Failed;
            }
            if state.services_version == version {
                drop(control.wait(state, None));
                continue;
            }
            version = state.services_version;
            drop(state);
            self.update_services();
        }
    }

    fn spawn_setup(&self) {
        let (worker, has_failed) = (self.worker.clone(), Rc::clone(&self.has_failed));
        spawn_n(move || {
            let control = Arc::clone(&worker.control);
            let setup = spawn(move || (worker.control.setup)(worker.clone()));
            if setup.join().is_err_and(|error| error.is_panic()) {
                has_failed.set(true);
                control.notify();
            }
        });
    }

    /// Starts and stops services as the list says.
    fn update_services(&mut self) {
        let services = self.worker.control.services();
        self.active.retain(|one| !one.is_over());
        for one in &self.active {
            if !services.iter().any(|service| one.is_for(service)) {
                one.stop(None);
            }
        }
        for service in services {
            if !self.active.iter().any(|one| one.is_for(&service)) {
                self.active.push(Active::spawn(self.worker, service));
            }
        }
    }

    fn announce_stop(&self) {
        self.active.iter().for_each(Active::announce_stop);
    }

    /// Serves the connections that the kernel has queued, and those whose handshake is under way.
    fn serve_queued(&self) {
        if self.active.is_empty() {
            return;
        }
        let control = &self.worker.control;
        let settled = now() + SETTLE_TIME;
        let until = control
            .deadline()
            .map_or(settled, |deadline| deadline.min(settled));
        sleep(until.saturating_duration_since(now()));
        let index = self.worker.index();
        let listeners = control.listeners();
        while listeners.iter().any(|one| one.has_queued(index)) && !control.is_over() {
            sleep(Duration::from_millis(1));
        }
    }

    fn stop_accepting(&self) {
        let deadline = self.deadline();
        self.active.iter().for_each(|one| one.stop(deadline));
    }

    /// Waits for the connections to end, and kills everything at the deadline.
    fn drain(&self) {
        let control = &self.worker.control;
        let mut state = control.lock();
        while self.active.iter().any(|one| !one.is_over()) {
            let deadline = earlier(self.deadline, state.stop.flatten());
            if deadline.is_some_and(|deadline| deadline <= now()) {
                break;
            }
            state = control.wait(state, deadline);
        }
        drop(state);
        shutdown(Duration::ZERO);
    }

    fn deadline(&self) -> Option<Instant> {
        earlier(self.deadline, self.worker.control.deadline())
    }
}

/// Returns the earlier of two deadlines. `None` never passes.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}
