//! The choice: of several who make it, one does.

use std::rc::Rc;

use crate::primitive::{Cell, model};
use crate::thread::Selection;
use crate::waiter::{join_all, spawn};

#[test]
fn one_claim_wins_and_shows_what_was_done_before_it() {
    model(|| {
        let selection = Rc::new(Selection::new());
        let done = Rc::new([Cell::new(false), Cell::new(false)]);
        let claimers = [0, 1].map(|index| {
            let (selection, done) = (Rc::clone(&selection), Rc::clone(&done));
            spawn(move || {
                done[index].set(true);
                // SAFETY: this loom thread shares the choice.
                unsafe { selection.token(index).try_select() }
            })
        });
        if let Some(index) = selection.selected() {
            assert!(done[index].get());
        }
        let won = join_all(claimers);
        let made = selection.selected().unwrap();
        assert_eq!(won, [made == 0, made == 1]);
    });
}
