//! Tests of `evy::thread`, and of what runs beside green threads: helper OS threads, futures and
//! the watchdog.

mod background;
mod descriptors;
mod dump;
mod fairness;
mod foreign_caller;
mod fs;
mod futures;
#[cfg(feature = "futures-io")]
mod futures_io;
mod green_threads;
mod identity;
mod identity_c;
mod identity_end;
mod join_set;
mod locals;
mod pipes;
mod remote;
mod shared_descriptors;
mod stack_memory;
mod timeout;
mod unwinding;
mod watchdog;
