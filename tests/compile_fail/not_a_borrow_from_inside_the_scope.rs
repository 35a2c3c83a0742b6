//! The frame of a scope's body ends before its green threads do.

fn main() {
    evy::scope(|s| {
        let local = 5;
        s.spawn(|| println!("{local}")); //~ E0373: may outlive the current function
    });
}
