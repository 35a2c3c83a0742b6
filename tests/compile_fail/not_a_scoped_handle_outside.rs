//! The result of a scoped green thread may hold what it has borrowed.

fn main() {
    let handle = evy::scope(|s| s.spawn(|| 5));
    handle.join().unwrap();
}
