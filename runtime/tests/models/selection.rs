//! Model of `Selection`: exactly one of several attempts to select succeeds.

use std::rc::Rc;

use crate::primitive::{Cell, model};
use crate::thread::Selection;
use crate::waiter::{join_all, spawn};

#[test]
fn one_attempt_to_select_wins_and_shows_what_was_done_before_it() {
    model(|| {
        let selection = Rc::new(Selection::new());
        let done = Rc::new([Cell::new(false), Cell::new(false)]);
        let selectors = [0, 1].map(|index| {
            let (selection, done) = (Rc::clone(&selection), Rc::clone(&done));
            spawn(move || {
                done[index].set(true);
                // SAFETY: the selection is live, because this loom thread shares its ownership.
                unsafe { selection.token(index).try_select() }
            })
        });
        if let Some(index) = selection.selected() {
            assert!(done[index].get());
        }
        let won = join_all(selectors);
        let selected = selection.selected().unwrap();
        assert_eq!(won, [selected == 0, selected == 1]);
    });
}
