//! What happens to a whole process: crashes, exits, and programs that cannot unwind.

mod abort;
mod crash;
