//! A green thread may outlive its spawner.

fn main() {
    let mut local = 5;
    evy::spawn(|| local += 1);
    evy::spawn_n(|| println!("{local}"));
}
