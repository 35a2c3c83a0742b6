//! A plain OS thread that ends calls which wait: it feeds and drains the other ends.

use std::fmt::Write;
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

/// What may end a wait.
pub(crate) type Release = Box<dyn FnMut() + Send>;

/// The calls of one round, as the watcher sees them.
#[derive(Default)]
pub(crate) struct Watched {
    pub(crate) releases: Vec<Release>,
    pub(crate) log: String,
    /// Where the round runs.
    place: &'static str,
    began: Option<Instant>,
    /// Whether the watcher has ended a call, after which the round ends.
    pub(crate) has_released: bool,
}

type Shared = Arc<Mutex<Watched>>;

static CURRENT: Mutex<Option<(Shared, Duration)>> = Mutex::new(None);

/// The round that is watched, until it is dropped.
pub(crate) struct Watch(Shared);

impl Watch {
    /// Watches calls, and ends those that last for `wait`.
    pub(crate) fn new(wait: Duration, place: &'static str) -> Self {
        static START: Once = Once::new();
        START.call_once(|| {
            std::thread::spawn(watch);
        });
        let shared = Shared::default();
        shared.lock().unwrap().place = place;
        *CURRENT.lock().unwrap() = Some((Arc::clone(&shared), wait));
        Self(shared)
    }

    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Watched) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    pub(crate) fn begin(&self, call: &str) {
        self.with(|watched| {
            write!(watched.log, "    {call}").unwrap();
            watched.began = Some(Instant::now());
        });
    }

    pub(crate) fn end(&self) {
        self.with(|watched| watched.began = None);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        *CURRENT.lock().unwrap() = None;
    }
}

fn watch() {
    loop {
        std::thread::sleep(Duration::from_millis(1));
        let current = CURRENT.lock().unwrap();
        let Some((shared, wait)) = current.as_ref() else {
            continue;
        };
        let mut watched = shared.lock().unwrap();
        let Some(lasted) = watched.began.map(|began| began.elapsed()) else {
            continue;
        };
        if lasted > *wait {
            watched.has_released = true;
            for release in &mut watched.releases {
                release();
            }
        }
        if lasted > Duration::from_secs(20) {
            println!("a call does not end on {}:\n{}", watched.place, watched.log);
            std::process::abort();
        }
    }
}
