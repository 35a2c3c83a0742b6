//! Green locals: a value for each green thread.
//!
//! The values of a green thread hang on its control block. Each is shared (`Rc`) with whoever uses it
//! at the moment, so it stays where it is for as long as the use lasts, whatever ends meanwhile.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::rc::Rc;

use crate::sched;

/// Declares values that each green thread has for itself, as [`std::thread_local!`] does for OS
/// threads.
///
/// # Examples
///
/// ```
/// use std::cell::RefCell;
///
/// evy::green_local! {
///     static TRACE: RefCell<Vec<&'static str>> = RefCell::new(vec!["begin"]);
/// }
///
/// TRACE.with_borrow_mut(|trace| trace.push("main"));
/// let other = evy::spawn(|| TRACE.take());
/// assert_eq!(other.join().unwrap(), ["begin"]);
/// assert_eq!(TRACE.take(), ["begin", "main"]);
/// ```
#[macro_export]
macro_rules! green_local {
    () => {};
    ($(#[$attribute:meta])* $vis:vis static $name:ident: $type:ty = const $init:block $(; $($rest:tt)*)?) => {
        $crate::green_local!($(#[$attribute])* $vis static $name: $type = $init $(; $($rest)*)?);
    };
    ($(#[$attribute:meta])* $vis:vis static $name:ident: $type:ty = $init:expr $(; $($rest:tt)*)?) => {
        $(#[$attribute])*
        $vis static $name: $crate::thread::LocalKey<$type> = {
            fn init() -> $type {
                $init
            }
            $crate::thread::LocalKey::new(init)
        };
        $($crate::green_local!($($rest)*);)?
    };
}

/// A green local, declared by [`green_local!`](crate::green_local!); as [`std::thread::LocalKey`].
///
/// The value is made when the green thread first uses it, and dropped, newest first, when it ends:
/// on its own stack, before those who join it go on. A root green thread's are dropped at the end of
/// its OS thread.
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn new(init: fn() -> T) -> Self {
        Self { init }
    }

    /// Runs `f` with the value. Parks where `f` does.
    ///
    /// # Panics
    ///
    /// If the value is being dropped, or was; as `f` does.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        match self.try_with(f) {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`with`](Self::with).
    ///
    /// # Errors
    ///
    /// If the value is being dropped, or was.
    ///
    /// # Panics
    ///
    /// As `f` does.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        let value = self.value()?;
        let value = value.downcast_ref().expect("a key has values of one type");
        Ok(f(value))
    }

    /// The address of the key, of which there is one.
    fn id(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn value(&'static self) -> Result<Rc<dyn Any>, AccessError> {
        let me = sched::current().running();
        let locals = &me.cold_or_init().locals;
        let find = || {
            let locals = locals.borrow();
            let (_, value) = locals.iter().find(|(id, _)| *id == self.id())?;
            Some(value.clone().ok_or(AccessError(())))
        };
        if let Some(found) = find() {
            return found;
        }
        // The program's code: nothing is borrowed, and it may use this very key.
        let new: Rc<dyn Any> = Rc::new((self.init)());
        find().unwrap_or_else(|| {
            locals.borrow_mut().push((self.id(), Some(Rc::clone(&new))));
            Ok(new)
        })
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets the value. Never parks.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with).
    pub fn set(&'static self, value: T) {
        self.with(|cell| cell.set(value));
    }

    /// A copy of the value. Never parks.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with).
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// The value, in whose place the default comes. Never parks.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with).
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// The value, in whose place `value` comes. Never parks.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with).
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Runs `f` with the value borrowed. Parks where `f` does.
    ///
    /// # Panics
    ///
    /// If it is borrowed mutably; as [`with`](Self::with).
    pub fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Runs `f` with the value borrowed mutably. Parks where `f` does.
    ///
    /// # Panics
    ///
    /// If it is borrowed; as [`with`](Self::with).
    pub fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets the value. Never parks.
    ///
    /// # Panics
    ///
    /// If it is borrowed; as [`with`](Self::with).
    pub fn set(&'static self, value: T) {
        drop(self.replace(value));
    }

    /// The value, in whose place the default comes. Never parks.
    ///
    /// # Panics
    ///
    /// If it is borrowed; as [`with`](Self::with).
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// The value, in whose place `value` comes. Never parks.
    ///
    /// # Panics
    ///
    /// If it is borrowed; as [`with`](Self::with).
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// The value of a green local is being dropped, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessError(());

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the green local is gone: its green thread ends")
    }
}

impl Error for AccessError {}
