//! A scope that is over can spawn nothing.

fn main() {
    let mut outside = None;
    evy::scope(|s| outside = Some(s));
    outside.unwrap().spawn(|| ());
}
