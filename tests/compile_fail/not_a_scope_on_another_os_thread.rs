//! The green threads of a scope belong to its OS thread.

fn main() {
    evy::scope(|s| {
        std::thread::scope(|os| {
            os.spawn(|| { //~ E0277: `*const StaysOnItsOsThread` cannot be shared //~ E0277: `Rc<
                s.spawn(|| ());
            });
        });
    });
}
