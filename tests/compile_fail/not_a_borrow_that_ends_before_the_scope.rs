//! A scoped green thread may run until the end of its scope, so what it borrows must live as long.

fn main() {
    evy::scope(|outer| {
        evy::scope(|inner| {
            let local = String::new();
            outer.spawn(|| println!("{local}")); //~ E0373: may outlive the current function
            inner.spawn(|| ());
        });
    });
}
