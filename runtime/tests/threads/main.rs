//! `evy::thread`, and what runs beside green threads: helper OS threads, futures, a watchdog.

mod fs;
mod futures;
mod green_threads;
mod join_set;
mod locals;
mod timeout;
mod unwinding;
mod watchdog;
