//! `JoinError`: why a green thread has no result.

use std::any::Any;
use std::error::Error;
use std::fmt;

use crate::green::Payload;

/// The result of a green thread, like [`std::thread::Result`].
///
/// # Differences from std
///
/// - The error is a [`JoinError`], which also covers a green thread that was killed. It converts
///   [into](Into) the `Box<dyn Any + Send>` of std.
pub type Result<T> = std::result::Result<T, JoinError>;

/// Error returned by [`JoinHandle::join`](super::JoinHandle::join): the green thread has no result.
///
/// # Examples
///
/// ```
/// let failed = evy::spawn(|| panic!("no luck")).join().unwrap_err();
/// assert!(failed.is_panic());
/// assert_eq!(failed.downcast_ref::<&str>(), Some(&"no luck"));
/// ```
#[non_exhaustive]
pub struct JoinError {
    reason: Reason,
}

enum Reason {
    Killed,
    Panicked(SyncPayload),
    Abandoned,
}

impl JoinError {
    pub(super) fn killed() -> Self {
        Self {
            reason: Reason::Killed,
        }
    }

    pub(super) fn panicked(payload: Payload) -> Self {
        Self {
            reason: Reason::Panicked(SyncPayload(payload)),
        }
    }

    /// The green thread could not be spawned.
    pub(super) fn not_spawned(error: &std::io::Error) -> Self {
        Self::panicked(Box::new(format!("cannot spawn a green thread: {error}")))
    }

    pub(super) fn abandoned() -> Self {
        Self {
            reason: Reason::Abandoned,
        }
    }

    /// Returns `true` if the green thread was killed, or canceled before it started.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        matches!(self.reason, Reason::Killed)
    }

    /// Returns `true` if the green thread panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self.reason, Reason::Panicked(_))
    }

    /// Returns `true` if the green thread's OS thread ended before the green thread did.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        matches!(self.reason, Reason::Abandoned)
    }

    /// Returns the payload of the panic, to be passed to [`std::panic::resume_unwind`].
    ///
    /// # Panics
    ///
    /// Panics if the green thread did not panic; see [`try_into_panic`](Self::try_into_panic).
    #[must_use]
    pub fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        match self.try_into_panic() {
            Ok(payload) => payload,
            Err(error) => panic!("{error}, so there is no panic payload"),
        }
    }

    /// Returns the payload of the panic.
    ///
    /// # Errors
    ///
    /// Returns the error itself if the green thread did not panic.
    pub fn try_into_panic(self) -> std::result::Result<Box<dyn Any + Send + 'static>, Self> {
        match self.reason {
            Reason::Panicked(payload) => Ok(payload.0),
            reason => Err(Self { reason }),
        }
    }

    /// Returns `true` if the panic payload is a `T`.
    #[must_use]
    pub fn is<T: Any + Send>(&self) -> bool {
        matches!(&self.reason, Reason::Panicked(payload) if payload.is::<T>())
    }

    /// Returns a reference to the panic payload if it is a `T`.
    ///
    /// # Differences from std
    ///
    /// `T` must be `Sync`, because a `JoinError` may be shared between OS threads.
    #[must_use]
    pub fn downcast_ref<T: Any + Send + Sync>(&self) -> Option<&T> {
        match &self.reason {
            Reason::Panicked(payload) => payload.downcast_ref(),
            Reason::Killed | Reason::Abandoned => None,
        }
    }

    /// Returns the panic payload if it is a `T`.
    ///
    /// # Errors
    ///
    /// Returns the error itself if the payload is not a `T`, or if there is none.
    pub fn downcast<T: Any + Send>(self) -> std::result::Result<Box<T>, Self> {
        if !self.is::<T>() {
            return Err(self);
        }
        let payload = self.into_panic().downcast::<T>();
        Ok(payload.unwrap_or_else(|_| unreachable!("its type was checked")))
    }
}

impl From<JoinError> for Box<dyn Any + Send + 'static> {
    /// Converts the error into a payload for [`std::panic::resume_unwind`]: that of the panic, or
    /// [`Killed`] or [`Abandoned`].
    fn from(error: JoinError) -> Self {
        match error.reason {
            Reason::Panicked(payload) => payload.0,
            Reason::Killed => Box::new(Killed(())),
            Reason::Abandoned => Box::new(Abandoned(())),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Killed => f.write_str("JoinError::Killed"),
            Reason::Panicked(payload) => match payload.message() {
                Some(message) => write!(f, "JoinError::Panicked({message:?})"),
                None => f.write_str("JoinError::Panicked(..)"),
            },
            Reason::Abandoned => f.write_str("JoinError::Abandoned"),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Killed => Killed(()).fmt(f),
            Reason::Panicked(payload) => match payload.message() {
                Some(message) => write!(f, "the green thread panicked: {message}"),
                None => f.write_str("the green thread panicked"),
            },
            Reason::Abandoned => Abandoned(()).fmt(f),
        }
    }
}

impl Error for JoinError {}

/// The panic payload that stands for a kill when a [`JoinError`] is rethrown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Killed(());

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the green thread was killed")
    }
}

impl Error for Killed {}

/// The panic payload that stands for an abandoned green thread when a [`JoinError`] is rethrown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Abandoned(());

impl fmt::Display for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the green thread was abandoned because its OS thread ended")
    }
}

impl Error for Abandoned {}

/// A panic payload that may be shared between OS threads, since a shared one shows only values that
/// are `Sync`.
struct SyncPayload(Payload);

// SAFETY: a `&SyncPayload` gives access to the payload through the methods below alone. They ask
// for its type, which does not read the value, and return a reference to it only if its type is
// `Sync`.
unsafe impl Sync for SyncPayload {}

impl SyncPayload {
    fn is<T: Any>(&self) -> bool {
        self.0.is::<T>()
    }

    fn downcast_ref<T: Any + Sync>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }

    fn message(&self) -> Option<&str> {
        let literal = self.downcast_ref::<&'static str>().copied();
        literal.or_else(|| self.downcast_ref::<String>().map(String::as_str))
    }
}
