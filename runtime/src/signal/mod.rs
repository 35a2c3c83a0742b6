//! Signals of the operating system, received by green threads and by OS threads.
//!
//! [`Signals`] receives the signals that are sent to the process, such as `SIGTERM`. [`ctrl_c`] waits
//! for the user to press Ctrl-C. No code of the program runs in a signal handler.
//!
//! # Examples
//!
//! A second Ctrl-C ends a program that still ends in order after the first one:
//!
//! ```no_run
//! evy::spawn_n(|| {
//!     evy::signal::ctrl_c().unwrap();
//!     println!("ending; press Ctrl-C again to end at once");
//!     // Stop accepting connections here.
//!     evy::signal::ctrl_c().unwrap();
//!     std::process::exit(130);
//! });
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
