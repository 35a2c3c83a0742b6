//! The result of a scoped green thread may contain what the green thread has borrowed.

fn main() {
    let handle = evy::scope(|s| s.spawn(|| 5)); //~ error: lifetime may not live long enough
    handle.join().unwrap();
}
