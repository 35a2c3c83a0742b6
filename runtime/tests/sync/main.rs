//! Tests of `evy_runtime::sync`, which synchronizes green threads of all OS threads, and OS threads
//! without green threads.

mod abandoned;
mod condvar;
mod mpsc;
mod mutex;
mod once;
mod os_threads;
mod rwlock;
mod std_parity;
mod stress;
