//! Green locals: a value for each green thread.
//!
//! The values of a green thread belong to its control block. Each value is shared (`Rc`) with the
//! code that uses it at the moment. So it stays at its address as long as that use lasts, whatever
//! ends meanwhile.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::rc::Rc;

use crate::sched;

/// Declares green locals, like [`std::thread_local!`]: each green thread has a value of its own.
///
/// The crate `evy` exports this macro as `evy::thread_local!` too. Without an import of that name,
/// `thread_local!` is std's macro, which is in the prelude. After `use evy::*` the name is ambiguous,
/// and the compiler asks for an import of one of the two.
///
/// The initializer, the destructor, and the closures that use the value may park.
///
/// # Differences from std
///
/// With [`std::thread_local!`] none of them may park, because all green threads of an OS thread
/// share the value, and std assumes that they do not interleave. An initializer that parks can run
/// twice, and std then drops the first value while it is borrowed. A destructor that parks lets
/// other green threads continue that have borrowed what is destroyed already. Both are undefined
/// behavior, which evy cannot check.
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
        $crate::green_local!($(#[$attribute])* $vis static $name: $type = { const $init });
        $($crate::green_local!($($rest)*);)?
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

/// A green local, declared by [`green_local!`](crate::green_local!). Like
/// [`std::thread::LocalKey`].
///
/// A value is created when a green thread first uses it. When the green thread finishes, its values
/// are dropped on its own stack, newest first, before any joiner continues. The values of a root
/// green thread are dropped at the end of its OS thread.
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn new(init: fn() -> T) -> Self {
        Self { init }
    }

    /// Runs `f` with a reference to the value.
    ///
    /// Parks where `f` parks.
    ///
    /// # Panics
    ///
    /// Panics if the value is being dropped or has been dropped, or if `f` panics.
    pub fn with<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        match self.try_with(f) {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }

    /// Runs `f` with a reference to the value like [`with`](Self::with), or returns an error.
    ///
    /// Parks where `f` parks.
    ///
    /// # Errors
    ///
    /// Returns [`AccessError`] if the value is being dropped or has been dropped.
    ///
    /// # Panics
    ///
    /// Panics if `f` panics.
    pub fn try_with<F, R>(&'static self, f: F) -> Result<R, AccessError>
    where
        F: FnOnce(&T) -> R,
    {
        let value = match self.find() {
            Some(found) => found?,
            // The initializer is code of the program and may use this same key, so nothing is
            // borrowed here.
            None => self.insert((self.init)())?,
        };
        Ok(f(Self::downcast(&value)))
    }

    /// Gives `new` and the value to `f`. If there is no value, `new` becomes the value instead, and
    /// the initializer does not run.
    fn with_or_insert(&'static self, new: T, f: impl FnOnce(T, &T)) {
        let done = match self.find() {
            Some(found) => found.map(|value| f(new, Self::downcast(&value))),
            None => self.insert(new).map(drop),
        };
        if let Err(error) = done {
            panic!("{error}");
        }
    }

    /// Returns the address of the key, which is unique because a key is a static.
    fn id(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn downcast(value: &Rc<dyn Any>) -> &T {
        value.downcast_ref().expect("a key has values of one type")
    }

    /// Returns the value of the running green thread, or `None` if it has not been initialized.
    fn find(&'static self) -> Option<Result<Rc<dyn Any>, AccessError>> {
        let me = sched::current().running();
        let locals = me.cold_or_init().locals.borrow();
        let (_, value) = locals.iter().find(|(id, _)| *id == self.id())?;
        Some(value.clone().ok_or(AccessError))
    }

    /// Makes `value` the value of the running green thread. If the initializer has used its own
    /// key, its result replaces the value from that use, as in std.
    fn insert(&'static self, value: T) -> Result<Rc<dyn Any>, AccessError> {
        let new: Rc<dyn Any> = Rc::new(value);
        let me = sched::current().running();
        let mut locals = me.cold_or_init().locals.borrow_mut();
        let replaced = match locals.iter_mut().find(|(id, _)| *id == self.id()) {
            None => {
                locals.push((self.id(), Some(Rc::clone(&new))));
                Ok(None)
            }
            Some((_, None)) => Err(AccessError),
            Some((_, old)) => Ok(old.replace(Rc::clone(&new))),
        };
        // The destructor of a value may use locals.
        drop(locals);
        replaced.map(|_| new)
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets the value. If there is none, `value` becomes it, and the initializer does not run.
    ///
    /// # Panics
    ///
    /// Panics as [`with`](Self::with) does.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// evy::thread_local! {
    ///     static ID: Cell<u32> = panic!("set the id first");
    /// }
    /// ID.set(5);
    /// assert_eq!(ID.get(), 5);
    /// ```
    pub fn set(&'static self, value: T) {
        self.with_or_insert(Cell::new(value), |new, cell| cell.set(new.into_inner()));
    }

    /// Returns a copy of the value.
    ///
    /// # Panics
    ///
    /// Panics as [`with`](Self::with) does.
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the value, leaving `Default::default()` in its place.
    ///
    /// # Panics
    ///
    /// Panics as [`with`](Self::with) does.
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Replaces the value with `value` and returns the old one.
    ///
    /// # Panics
    ///
    /// Panics as [`with`](Self::with) does.
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Runs `f` with the value borrowed.
    ///
    /// Parks where `f` parks.
    ///
    /// # Panics
    ///
    /// Panics if the value is mutably borrowed, and as [`with`](Self::with) does.
    pub fn with_borrow<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Runs `f` with the value mutably borrowed.
    ///
    /// Parks where `f` parks.
    ///
    /// # Panics
    ///
    /// Panics if the value is borrowed, and as [`with`](Self::with) does.
    pub fn with_borrow_mut<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&mut T) -> R,
    {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets the value. If there is none, `value` becomes it, and the initializer does not run.
    ///
    /// # Panics
    ///
    /// Panics if the value is borrowed, and as [`with`](Self::with) does.
    pub fn set(&'static self, value: T) {
        self.with_or_insert(RefCell::new(value), |new, cell| {
            drop(cell.replace(new.into_inner()));
        });
    }

    /// Takes the value, leaving `Default::default()` in its place.
    ///
    /// # Panics
    ///
    /// Panics if the value is borrowed, and as [`with`](Self::with) does.
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Replaces the value with `value` and returns the old one.
    ///
    /// # Panics
    ///
    /// Panics if the value is borrowed, and as [`with`](Self::with) does.
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// Error returned by [`LocalKey::try_with`] when the value is being dropped or has been dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessError;

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a green local cannot be accessed while or after it is dropped")
    }
}

impl Error for AccessError {}
