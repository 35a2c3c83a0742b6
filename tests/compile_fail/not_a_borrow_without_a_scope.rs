//! A green thread may outlive the green thread that spawned it, so it must not borrow from it.

fn main() {
    let mut local = 5;
    evy::spawn(|| local += 1); //~ E0373: may outlive the current function
    evy::spawn_n(|| println!("{local}")); //~ E0502: also borrowed as mutable //~ E0373: may outlive the current function
}
