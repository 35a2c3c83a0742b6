//! Name resolution by the system's resolver, on helper OS threads of its own.
//!
//! While the system's resolver does not answer, lookups occupy their OS threads for a long time.
//! Files and blocking code have other ones, those of `unblock`, so they are not affected.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Instant;

use evy_runtime::lowlevel::{HelperPool, WaitReason, charge, now};
use evy_runtime::thread::panicking;
use evy_runtime::timeout_at;

use crate::addr;

/// The maximum number of running lookups that have a waiter, and of all running lookups.
const MAX_AWAITED: usize = 16;
const MAX_RUNNING: usize = 64;

static LOOKUPS: HelperPool<Vec<SocketAddr>> = HelperPool::new(MAX_AWAITED, MAX_RUNNING, |host| {
    Ok((host, 0).to_socket_addrs()?.collect())
});

/// Returns all addresses of `host`, in the order of the resolver. Green threads that look up the
/// same name at the same time share one lookup.
///
/// Parks until the resolver has answered.
///
/// # Errors
///
/// Returns the same errors as std.
pub(crate) fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut addrs = LOOKUPS.call(host, WaitReason::Other("a name to be resolved"))?;
    for addr in &mut addrs {
        addr.set_port(port);
    }
    Ok(addrs)
}

/// Returns all addresses of `addr`, within the deadline. The lookup of a name goes on without its
/// waiter after that.
///
/// Parks as [`ToSocketAddrs::to_socket_addrs`](addr::ToSocketAddrs::to_socket_addrs) does.
///
/// # Errors
///
/// Returns `TimedOut`, and the errors of `to_socket_addrs`.
pub(crate) fn resolve(
    addr: impl addr::ToSocketAddrs,
    deadline: Option<Instant>,
) -> io::Result<Vec<SocketAddr>> {
    charge();
    let all = || Ok(addr.to_socket_addrs()?.collect());
    let Some(deadline) = deadline else {
        return all();
    };
    let too_late = || io::Error::new(io::ErrorKind::TimedOut, "the name was not resolved in time");
    // Where nothing can be thrown, the wait returns an error instead.
    let can_unwind = cfg!(panic = "unwind") && !panicking();
    match timeout_at(deadline, all) {
        Err(_) => Err(too_late()),
        Ok(Err(_)) if !can_unwind && now() >= deadline => Err(too_late()),
        Ok(result) => result,
    }
}
