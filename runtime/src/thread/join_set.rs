//! Several green threads at a time: waiting for all, taking results as they finish, killing all.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use super::budget::charge;
use super::functions::spawn;
use super::join_error::Result;
use super::join_handle::JoinHandle;
use super::wait_queue::WaitQueue;
use crate::green::WaitReason;

/// Waits for all `handles` and returns their results, in the order of the handles.
///
/// Parks until all of the green threads have finished.
///
/// # Panics
///
/// Panics as [`JoinHandle::join`] does.
///
/// # Examples
///
/// ```
/// let handles: Vec<_> = (1..=3).map(|n| evy::spawn(move || n * n)).collect();
/// let squares: Result<Vec<i32>, _> = evy::wait_all(handles).into_iter().collect();
/// assert_eq!(squares.unwrap(), [1, 4, 9]);
/// ```
pub fn wait_all<T>(handles: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<Result<T>> {
    let handles: Vec<_> = handles.into_iter().collect();
    handles.into_iter().map(JoinHandle::join).collect()
}

/// Returns an iterator over the results of `handles`, in the order in which the green threads
/// finish. Each result comes with the index of its handle.
///
/// The iterator's `next` parks until the next green thread has finished.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let naps = [3, 1, 2].map(|n| {
///     evy::spawn(move || {
///         evy::sleep(Duration::from_millis(5 * n));
///         n
///     })
/// });
/// let order: Vec<_> = evy::as_completed(naps).map(|(at, n)| (at, n.unwrap())).collect();
/// assert_eq!(order, [(1, 1), (2, 2), (0, 3)]);
/// ```
pub fn as_completed<T: 'static>(
    handles: impl IntoIterator<Item = JoinHandle<T>>,
) -> AsCompleted<T> {
    let members = Members::default();
    for handle in handles {
        members.add(handle);
    }
    AsCompleted(members)
}

/// An iterator over results in the order of completion. Returned by [`as_completed`].
///
/// Dropping it detaches the green threads that are left.
pub struct AsCompleted<T: 'static>(Members<T>);

impl<T> Iterator for AsCompleted<T> {
    type Item = (usize, Result<T>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.0.handles.borrow().len();
        (left, Some(left))
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").finish_non_exhaustive()
    }
}

/// A set of green threads. They are killed when the set is dropped.
///
/// Only the methods that say so park.
///
/// # Examples
///
/// ```
/// use evy::{JoinSet, sleep};
/// use std::time::Duration;
///
/// // The first answer counts; the others are killed.
/// let mut race = JoinSet::new();
/// for n in [50, 5, 20] {
///     race.spawn(move || {
///         sleep(Duration::from_millis(n));
///         n
///     });
/// }
/// assert_eq!(race.join_next().unwrap().unwrap(), 5);
/// assert_eq!(race.len(), 2);
/// ```
pub struct JoinSet<T: 'static>(Members<T>);

impl<T> JoinSet<T> {
    /// Creates a set without members.
    #[must_use]
    pub fn new() -> Self {
        Self(Members::default())
    }

    /// Spawns a green thread and adds it to the set.
    ///
    /// # Panics
    ///
    /// Panics if no stack can be allocated.
    #[track_caller]
    pub fn spawn(&self, f: impl FnOnce() -> T + 'static) {
        self.add(spawn(f));
    }

    /// Adds a green thread to the set.
    pub fn add(&self, handle: JoinHandle<T>) {
        self.0.add(handle);
    }

    /// Returns the number of members not yet returned by [`join_next`](Self::join_next).
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.handles.borrow().len()
    }

    /// Returns `true` if the set has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for the next member to finish and returns its result. Returns `None` if there are no
    /// members.
    ///
    /// Parks until a member has finished.
    ///
    /// # Panics
    ///
    /// Panics on the root green thread if a deadlock is detected.
    pub fn join_next(&self) -> Option<Result<T>> {
        self.0.next().map(|(_, result)| result)
    }

    /// Waits for all members and returns their results, in the order in which they finish.
    ///
    /// Parks until all members have finished.
    ///
    /// # Panics
    ///
    /// Panics as [`join_next`](Self::join_next) does.
    pub fn wait_all(&self) -> Vec<Result<T>> {
        std::iter::from_fn(|| self.join_next()).collect()
    }

    /// Kills all members in the order in which they were added, like [`JoinHandle::kill`]. They
    /// remain members until [`join_next`](Self::join_next) has returned their results.
    ///
    /// # Panics
    ///
    /// A member that kills its own set unwinds from here, after the others have been killed.
    pub fn kill_all(&self) {
        let (mut all, own): (Vec<_>, Vec<_>) = {
            let handles = self.0.handles.borrow();
            let kill_handles = handles.values().map(|h| (h.is_own(), h.kill_handle()));
            kill_handles.partition(|(is_own, _)| !is_own)
        };
        all.extend(own);
        for (_, handle) in all {
            handle.kill();
        }
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.kill_all();
    }
}

impl<T> Default for JoinSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.len()).finish()
    }
}

/// Handles by number, and the numbers of the green threads that have finished.
struct Members<T: 'static> {
    handles: RefCell<BTreeMap<usize, JoinHandle<T>>>,
    added: Cell<usize>,
    ended: Rc<Ended>,
}

#[derive(Default)]
struct Ended {
    order: RefCell<VecDeque<usize>>,
    waiters: WaitQueue,
}

impl<T> Members<T> {
    fn add(&self, handle: JoinHandle<T>) {
        let number = self.added.get();
        self.added.set(number + 1);
        let ended = Rc::clone(&self.ended);
        handle.on_exit(move || {
            ended.order.borrow_mut().push_back(number);
            ended.waiters.wake_one();
        });
        self.handles.borrow_mut().insert(number, handle);
    }

    /// Waits for the next member to finish. Returns its number and its result, or `None` if there
    /// are no members.
    fn next(&self) -> Option<(usize, Result<T>)> {
        charge(|| self.ended.order.borrow().is_empty() && !self.handles.borrow().is_empty());
        loop {
            let first = self.ended.order.borrow_mut().pop_front();
            if let Some(number) = first {
                let handle = self.handles.borrow_mut().remove(&number);
                if self.handles.borrow().is_empty() {
                    // No member is left, so the other waiters return `None`.
                    self.ended.waiters.wake_all();
                }
                return handle.map(|handle| (number, handle.take_result()));
            }
            if self.handles.borrow().is_empty() {
                return None;
            }
            let ended = &self.ended;
            let notify_next = || {
                ended.waiters.wake_one();
            };
            ended
                .waiters
                .wait_deadline_with(WaitReason::JoinNext, None, notify_next);
        }
    }
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self {
            handles: RefCell::default(),
            added: Cell::new(0),
            ended: Rc::default(),
        }
    }
}
