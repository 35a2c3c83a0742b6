//! Tests of whole processes: crashes, exits, and programs that cannot unwind.

mod abort;
mod crash;
mod fork;
mod own_remotes;
mod signals;
mod stdio;
mod timers;
