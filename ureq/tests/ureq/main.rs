//! Tests of ureq on evy's sockets, on the public API.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "real time is measured")]

mod connections;
mod hostile;
mod https;
mod interrupts;
mod proxies;
mod requests;
mod support;
mod timeouts;
