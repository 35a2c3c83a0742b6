#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! These modules mirror std, so that you can replace `std::` with `evy::`:
//!
//! - [`thread`] is like `std::thread`, with green threads: spawn, join, park, scope. Green threads
//!   can also be killed.
//! - [`sync`] is like `std::sync`: locks, channels and more, for green threads and OS threads.
//! - [`net`] is like `std::net`, with the same types, methods and traits. A wait parks the green
//!   thread.
//! - [`fs`] is like `std::fs`. What may take long is done on helper OS threads.
//! - [`process`] is like `std::process`. Waiting for a child parks the green thread.
//! - [`io`] is like `std::io`: standard input and output and pipes park the green thread. Its
//!   [`io::Green`] makes any other descriptor cooperative.
//! - [`os`] is like `std::os`, with cooperative Unix sockets.
//!
//! The file `docs/STD_DIFFERENCES.md` lists everything that differs.
//!
//! The others have no counterpart in std:
//!
//! - [`http`] is an HTTP/1.1 client and server in blocking style. The server has limits, an access
//!   log, upgrades and a stop in order. The client keeps connections, follows redirects, and speaks
//!   `https` with the feature `tls`.
//! - [`serve`] and [`net::Server`] handle each connection on a green thread of its own.
//!   [`net::Workers`] are OS threads that serve together: see [`net::serve_on`] and
//!   [`http::serve_on`].
//! - `tls`, with the feature of that name, is TLS over any stream, by rustls.
//! - `ureq`, with the feature of that name, is the HTTP client ureq on evy's sockets, with proxies,
//!   cookies and compression.
//! - `patch`, with the feature of that name, makes unchanged blocking libraries cooperative: std,
//!   crates that use std, and C libraries. The file `docs/IMPORT_GREEN.md` says how.
//! - [`GreenPool`] and [`GreenPile`] limit how many green threads run at once. [`pool::Pool`]
//!   shares connections among green threads.
//! - [`Queue`], [`Event`] and [`Semaphore`], with their variants, are for green threads of one OS
//!   thread. Waiters are served in FIFO order, and nothing is lost when one of them is killed.
//! - [`signal`] receives signals of the operating system, such as Ctrl-C.
//! - [`select!`] waits for the first of several operations. [`timeout`] limits the time of a block
//!   of code, and [`interval`] ticks without drift.
//! - [`thread::Remote`] spawns green threads on another OS thread.
//! - [`block_on`] runs a future. [`unblock`] runs blocking code on a helper OS thread.
//! - [`test`](mod@test) makes tests of all these fast and repeatable.
//!
//! # What to know
//!
//! - **Nothing is preempted.** A green thread runs until it parks or yields. A long computation
//!   belongs in [`unblock`], and so does every call that blocks the OS thread. A [`watchdog`]
//!   reports the green threads that break this rule. [`dump`] shows what each one waits for.
//! - **Each OS thread has its own scheduler**, which its first blocking evy call creates. Green
//!   threads, pools, queues and handles stay on their OS thread. Sockets, the contents of [`sync`],
//!   and [`thread::Unparker`] may be used on any OS thread.
//! - **Do not hold a `std::sync` lock or a `RefCell` borrow while parking.** Another green thread
//!   of the same OS thread would wait for the lock forever, or panic at the borrow. The locks of
//!   [`sync`] may be held.
//! - **Do not park in a `thread_local!` initializer, in a thread-local destructor, or in a closure
//!   given to `LocalKey::with`** that other green threads enter too. std assumes that the code of
//!   one OS thread runs in one piece, and evy cannot check this. Parking there can be undefined
//!   behavior. With [`green_local!`] it is allowed.
//! - **The prelude's `thread_local!` is shared by all green threads of an OS thread**, and so is
//!   everything that libraries keep there, such as the current span of `tracing`. Declare your own
//!   with [`thread_local!`](macro@thread_local) of evy, and pass the context of a library
//!   explicitly (`parent: &span`), or leave it before you park (`span.in_scope(..)` around code that
//!   does not park).
//! - **After `fork`**, evy does not work in the child, where its calls fail with the reason. The
//!   child may run other code, and call `exec` or `_exit`. The parent is not affected.
//! - **With `panic = "abort"`**, kills and timeouts cannot unwind, and only make I/O fail. The file
//!   `docs/PANIC_ABORT.md` lists the consequences.
//! - **When `main` returns**, the remaining green threads are abandoned. To end them in order, call
//!   [`shutdown`].
//! - **Stacks** have 256 KiB of address space each, and only touched pages use memory.
//!   [`thread::Builder::stack_size`] changes the size, and [`net::Server::stack_size`] and
//!   [`http::ServerBuilder::stack_size`] that of handlers. An overflow prints the name of the green
//!   thread and aborts.
#![forbid(unsafe_code)]

pub use evy_runtime::{
    AlreadySent, BoundedSemaphore, CappedSemaphore, CappedSemaphoreGuard, Closed, Elapsed, Event,
    EventError, Full, HogReport, Interval, JoinSet, LifoQueue, NotSent, PriorityQueue, Queue,
    QueueIter, ReleasedTooOften, Semaphore, SemaphoreGuard, Watchdog, as_completed, block_on, dump,
    fs, green_local, interval, interval_at, lowlevel, process, scope, select, shield, shutdown,
    sleep, spawn, spawn_after, spawn_after_local, spawn_n, sync, test, thread, timeout, timeout_at,
    unblock, wait_all, watchdog, yield_now,
};

pub use evy_runtime::green_local as thread_local;
pub use std::time;

/// Everything in [`std::io`], with cooperative standard streams and pipes, and
/// [`Green`](io::Green), which makes any descriptor cooperative.
pub mod io {
    pub use evy_runtime::io::*;
    pub use evy_runtime::io::{PipeReader, PipeWriter, pipe};
    pub use evy_runtime::stdio::{
        IsTerminal, Stderr, StderrLock, Stdin, StdinLock, Stdout, StdoutLock, stderr, stdin, stdout,
    };
    pub use std::io::*;
}

#[cfg(feature = "net")]
pub use net::{connect, connect_timeout, listen, serve};

/// Cooperative sockets, like those of [`std::net`]: they park the green thread instead of blocking
/// the OS thread.
#[cfg(feature = "net")]
pub mod net {
    pub use evy_net::{
        AddrParseError, CopyError, Duplex, HandlerResult, Incoming, IpAddr, Ipv4Addr, Ipv6Addr,
        Listener, Server, ServerHandle, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6, Stopped,
        Stream, TcpListener, TcpStream, ToSocketAddrs, UdpSocket, Worker, WorkerListeners, Workers,
        WorkersBuilder, WorkersHandle, connect, connect_timeout, copy, copy_bidirectional, listen,
        serve, serve_each, serve_on,
    };
}

/// Like [`std::os`]: what only some systems have. The modules that have nothing to park for are
/// std's.
pub mod os {
    pub use std::os::{fd, raw};

    /// Like [`std::os::unix`].
    pub mod unix {
        pub use std::os::unix::{ffi, fs, io, prelude, thread};

        pub use evy_runtime::os::unix::process;

        /// Cooperative Unix sockets, like those of [`std::os::unix::net`].
        #[cfg(feature = "net")]
        pub mod net {
            pub use evy_net::unix::{Incoming, SocketAddr, UnixDatagram, UnixListener, UnixStream};
        }
    }

    /// Like [`std::os::linux`].
    #[cfg(target_os = "linux")]
    pub mod linux {
        pub use std::os::linux::fs;

        /// Extensions of sockets, like those of [`std::os::linux::net`].
        #[cfg(feature = "net")]
        pub mod net {
            pub use evy_net::linux::TcpStreamExt;
            pub use std::os::linux::net::SocketAddrExt;
        }
    }
}

#[cfg(feature = "http")]
#[doc(inline)]
pub use evy_http as http;

#[cfg(feature = "signal")]
pub use evy_runtime::signal;

#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
#[doc(inline)]
pub use evy_tls as tls;

#[cfg(feature = "patch")]
#[doc(inline)]
pub use evy_patch as patch;

#[cfg(feature = "ureq")]
#[doc(inline)]
pub use evy_ureq as ureq;

#[cfg(feature = "pool")]
pub use evy_pool::{GreenPile, GreenPool};

/// Pools of green threads, and of resources.
#[cfg(feature = "pool")]
pub mod pool {
    pub use evy_pool::{
        Full, GreenPile, GreenPool, Imap, Pool, PoolBuilder, PoolGuard, ScopedImap, Splat,
    };
}

/// Compiles the examples of the guides, which are not part of the documentation.
#[cfg(all(doctest, feature = "patch", feature = "pool", feature = "signal"))]
mod guides {
    #[doc = include_str!("../docs/IMPORT_GREEN.md")]
    mod import_green {}
    #[doc = include_str!("../docs/PATCH_HOWTO.md")]
    mod how_to {}
}
