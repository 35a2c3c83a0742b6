//! `Categories`: groups of functions that can be patched apart.

bitflags::bitflags! {
    /// Groups of functions of the C library. [`monkey_patch_only`](crate::monkey_patch_only) takes them.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::patch::Categories;
    ///
    /// let network = Categories::SOCKET | Categories::DNS | Categories::SELECT;
    /// assert!(Categories::all().contains(network));
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Categories: u32 {
        /// Reads and writes of pipes, terminals and other descriptors, locks of files, and waiting for
        /// child processes.
        const OS = 1;
        /// Waiting for several descriptors: `poll`, `select`, `epoll_wait`.
        const SELECT = 1 << 1;
        /// Sockets: connect, accept, send, receive.
        const SOCKET = 1 << 2;
        /// Locks, condition variables, channels and joins, of std, of C and C++, and of crates.
        const THREAD = 1 << 3;
        /// Sleeps.
        const TIME = 1 << 4;
        /// The resolution of names.
        const DNS = 1 << 5;
    }
}
