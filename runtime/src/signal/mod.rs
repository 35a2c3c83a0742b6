//! Signals of the operating system, received by green threads and by OS threads.
//!
//! [`Signals`] receives the signals that are sent to the process, such as `SIGTERM`. [`ctrl_c`] waits
//! for the user to press Ctrl-C. No code of the program runs in a signal handler.
//!
//! # Examples
//!
//! Ctrl-C and `kill` end a server in order, and a second Ctrl-C ends it at once:
//!
//! ```no_run
//! use std::time::Duration;
//! use evy::signal::{SIGINT, SIGTERM, Signals};
//! # fn accept_clients() {}
//!
//! let signals = Signals::new([SIGINT, SIGTERM])?;
//! let accepting = evy::spawn(accept_clients);
//! signals.recv();
//! accepting.kill();
//! std::thread::spawn(move || {
//!     signals.recv();
//!     std::process::exit(130);
//! });
//! // Waits for the clients that are left, and then ends their green threads.
//! evy::shutdown(Duration::from_secs(5));
//! # Ok::<(), std::io::Error>(())
//! ```

mod ctrl_c;
mod delivery;
mod disposition;
mod inbox;
mod signals;

pub use ctrl_c::ctrl_c;
pub(crate) use inbox::Inbox;
pub use libc::{
    SIGABRT, SIGALRM, SIGBUS, SIGCHLD, SIGCONT, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGIO, SIGKILL,
    SIGPIPE, SIGPROF, SIGQUIT, SIGSEGV, SIGSTOP, SIGSYS, SIGTERM, SIGTRAP, SIGTSTP, SIGTTIN,
    SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH, SIGXCPU, SIGXFSZ,
};
pub use signals::{IntoIter, Iter, Signals};
