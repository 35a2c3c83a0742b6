//! The green threads of a scope belong to its OS thread.

fn main() {
    evy::scope(|s| {
        std::thread::scope(|os| {
            os.spawn(|| { //~ E0277: cannot be shared between threads safely
                s.spawn(|| ());
            });
        });
    });
}
