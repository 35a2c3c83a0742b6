//! `evy::sync`: what green threads of any OS thread, and OS threads without any, coordinate with.

mod condvar;
mod mpsc;
mod mutex;
mod once;
mod os_threads;
mod rwlock;
mod std_parity;
mod stress;
