//! What a scoped green thread has borrowed to write is its own until the scope is over.

fn main() {
    let mut local = 5;
    evy::scope(|s| {
        s.spawn(|| local += 1);
        println!("{local}"); //~ E0502: also borrowed as mutable
    });
}
