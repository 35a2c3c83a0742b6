//! Sockets on a system that misbehaves: some functions of the C library are replaced in this
//! binary.

mod accept;
mod resolver;
