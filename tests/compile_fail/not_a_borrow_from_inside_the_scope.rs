//! The frame of the closure of a scope ends before the green threads of the scope do.

fn main() {
    evy::scope(|s| {
        let local = 5;
        s.spawn(|| println!("{local}")); //~ E0373: may outlive the current function
    });
}
