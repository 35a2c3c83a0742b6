#![doc = include_str!("../README.md")]
//!
//! # Map
//!
//! The modules mirror std, so that `std::` can become `evy::`:
//!
//! - [`thread`] is `std::thread` with green threads: spawn, join, park, scope, and kill besides.
//! - [`sync`] is `std::sync`: locks, channels and the like, between green threads and OS threads.
//! - [`net`] is `std::net`: the same types, methods and traits; a wait parks the green thread.
//! - [`fs`] is `std::fs`, on helper OS threads.
//! - [`io`] is `std::io`; [`io::Green`] makes any other descriptor cooperative.
//! - [`http`] is an HTTP/1.1 client and server in blocking style.
//! - [`GreenPool`] and [`GreenPile`] bound how much goes on at once; [`pool::Pool`] shares
//!   connections among it.
//! - [`Queue`], [`Event`] and [`Semaphore`], with their kin, are for green threads of one OS thread:
//!   first come, first served, and nothing is lost when somebody is killed.
//! - [`select!`] waits for the first of several things, [`timeout`] gives up in time.
//! - [`block_on`] awaits a future, [`unblock`] runs what can only block.
//! - [`test`](mod@test) makes tests of all this quick and repeatable.
//!
//! # What to know
//!
//! - **Nothing is preempted.** A green thread runs until it parks or yields; a long computation
//!   belongs into [`unblock`], and so does every call that blocks the OS thread. A [`watchdog`] names
//!   who forgets that.
//! - **Each OS thread has its own scheduler**, made at its first blocking evy call. Green threads,
//!   pools, queues and handles stay on their OS thread; sockets, what is in [`sync`], and
//!   [`thread::Unparker`] may cross.
//! - **Do not hold a `std::sync` lock or a `RefCell` borrow while parking**: another green thread of
//!   the same OS thread would wait for it for ever, or panic. Those of [`sync`] may be held.
//! - **When `main` returns**, green threads that are left are abandoned; [`shutdown`] ends them in
//!   order.
//! - **Stacks** have 256 KiB of address space each, of which touched pages alone cost memory;
//!   [`thread::Builder::stack_size`] changes that. An overflow names the green thread and aborts.
#![forbid(unsafe_code)]

pub use evy_runtime::{
    AlreadySent, BoundedSemaphore, CappedSemaphore, Elapsed, Event, EventError, Full, HogReport,
    JoinSet, LifoQueue, NotSent, PriorityQueue, Queue, ReleasedTooOften, Semaphore, SemaphoreGuard,
    Watchdog, as_completed, block_on, fs, green_local, lowlevel, scope, select, shield, shutdown,
    sleep, spawn, spawn_after, spawn_after_local, spawn_n, sync, test, thread, timeout, timeout_at,
    unblock, wait_all, watchdog, yield_now,
};

pub use std::time;

/// All that [`std::io`] has, and what makes any descriptor cooperative.
///
/// Standard input and output, and [`pipe`](io::pipe), are std's: they block the OS thread. In a
/// [`Green`](io::Green) they do not.
pub mod io {
    pub use evy_runtime::io::*;
    pub use std::io::*;
}

#[cfg(feature = "net")]
pub use net::{connect, connect_timeout, listen, serve};

/// Cooperative sockets in the shape of [`std::net`].
#[cfg(feature = "net")]
pub mod net {
    pub use evy_net::{
        AddrParseError, HandlerResult, Incoming, IpAddr, Ipv4Addr, Ipv6Addr, Listener, Server,
        ServerHandle, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6, Stream, TcpListener,
        TcpStream, ToSocketAddrs, connect, connect_timeout, listen, serve,
    };
}

#[cfg(feature = "http")]
pub use evy_http as http;

#[cfg(feature = "pool")]
pub use evy_pool::{GreenPile, GreenPool};

/// Pools of green threads, and of resources.
#[cfg(feature = "pool")]
pub mod pool {
    pub use evy_pool::{Full, GreenPile, GreenPool, Imap, Pool, PoolBuilder, PoolGuard, Splat};
}
