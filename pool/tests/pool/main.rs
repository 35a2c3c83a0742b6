//! Tests of `GreenPool`, `GreenPile` and `Pool`.

mod fairness;
mod fault_injection;
mod green_pile;
mod green_pool;
mod imap;
mod resource;
mod scoped_imap;
