//! Data that a scoped green thread has borrowed mutably is not accessible until the scope ends.

fn main() {
    let mut local = 5;
    evy::scope(|s| {
        s.spawn(|| local += 1);
        println!("{local}"); //~ E0502: also borrowed as mutable
    });
}
