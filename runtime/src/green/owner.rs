//! `StaysOnItsOsThread`: the reason for which a type is not `Send`.

/// Gives a name to the reason for which a type is not `Send`: a value of it accesses the scheduler of
/// its OS thread, which no other OS thread may touch (`[owner-thread]`).
///
/// A type contains a `PhantomData<*const StaysOnItsOsThread>`, as its first field. If a program sends
/// a value of the type to another OS thread, the compiler reports that
/// `*const StaysOnItsOsThread` cannot be sent.
///
/// # Examples
///
/// ```compile_fail,E0277
/// let child = evy::spawn(|| 6 * 7);
/// std::thread::spawn(move || child.join());
/// ```
#[derive(Debug)]
pub struct StaysOnItsOsThread(());
