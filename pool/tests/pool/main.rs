//! The pools of green threads and of resources.

mod fault_injection;
mod green_pile;
mod green_pool;
mod imap;
mod resource;
