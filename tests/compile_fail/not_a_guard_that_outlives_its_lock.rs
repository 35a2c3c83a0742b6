//! A guard borrows its lock, so it must not outlive the lock.

use evy::sync::{Mutex, RwLock};

fn main() {
    let (one, two) = {
        let mutex = Mutex::new(1);
        let lock = RwLock::new(1);
        (mutex.lock().unwrap(), lock.read().unwrap()) //~ E0597: does not live long enough //~ E0597: does not live long enough
    };
    println!("{one} {two}");
}
