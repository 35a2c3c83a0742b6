//! `OnceLock`, as std's: std's holds the value, and [`Once`] lets others wait for it.

use std::fmt;
use std::sync::OnceLock as StdOnceLock;

use super::once::Once;

/// A cell that is written once, as [`std::sync::OnceLock`]. The initialisation may park.
///
/// # Examples
///
/// ```
/// use evy::sync::OnceLock;
///
/// static CONFIG: OnceLock<String> = OnceLock::new();
/// assert_eq!(CONFIG.get_or_init(|| "from a file".to_owned()), "from a file");
/// assert_eq!(CONFIG.get().map(String::len), Some(11));
/// ```
pub struct OnceLock<T> {
    once: Once,
    value: StdOnceLock<T>,
}

impl<T> OnceLock<T> {
    /// An empty cell. Never parks.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            once: Once::new(),
            value: StdOnceLock::new(),
        }
    }

    /// The value, if there is one. Never parks.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, if there is one. Never parks.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Parks until there is a value.
    pub fn wait(&self) -> &T {
        loop {
            if let Some(value) = self.get() {
                return value;
            }
            self.once.wait_force();
        }
    }

    /// Writes the value. Parks while somebody else initialises it.
    ///
    /// # Errors
    ///
    /// The new value, if there was one already.
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.once.call_once_force(|_| {
            // Only here and in `init` is it written, and only once do they come to their end.
            value = value.take().and_then(|value| self.value.set(value).err());
        });
        value.map_or(Ok(()), Err)
    }

    /// The value, which is that of `f` if there is none yet; others who ask park until `f` is done.
    /// If `f` unwinds the cell stays empty. Parks where `f` does.
    ///
    /// Asking again from within `f` waits for ever.
    #[inline]
    pub fn get_or_init<F: FnOnce() -> T>(&self, f: F) -> &T {
        match self.get() {
            Some(value) => value,
            None => self.init(f),
        }
    }

    #[cold]
    fn init(&self, f: impl FnOnce() -> T) -> &T {
        self.once.call_once_force(|_| {
            let value = f();
            // Only here is it written, and only once does this come to its end.
            drop(self.value.set(value));
        });
        self.get().expect("it was written before the end")
    }

    /// Takes the value out. Never parks.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value out, and leaves an empty cell. Never parks.
    pub fn take(&mut self) -> Option<T> {
        std::mem::take(self).into_inner()
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        let cell = Self::new();
        cell.get_or_init(|| value);
        cell
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> Self {
        self.get().cloned().map_or_else(Self::new, Self::from)
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => text.field(value),
            None => text.field(&format_args!("<uninit>")),
        };
        text.finish()
    }
}
