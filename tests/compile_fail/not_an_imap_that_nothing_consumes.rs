//! An `imap` that nothing consumes stops at once, so the compiler warns. Here the warning is an
//! error.
#![deny(unused_must_use)]

fn main() {
    let pool = evy::GreenPool::new(2);
    pool.imap(|n: u32| println!("{n}"), 0..3); //~ error: unused `Imap` that must be used
}
