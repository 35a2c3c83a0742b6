//! A scope that has ended cannot spawn.

fn main() {
    let mut outside = None;
    evy::scope(|s| outside = Some(s)); //~ E0521: escapes outside of closure
    outside.unwrap().spawn(|| ());
}
