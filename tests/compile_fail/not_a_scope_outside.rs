//! A scope that is over can spawn nothing.

fn main() {
    let mut outside = None;
    evy::scope(|s| outside = Some(s)); //~ E0521: escapes outside of closure
    outside.unwrap().spawn(|| ());
}
