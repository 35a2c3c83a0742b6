//! Spans of tracing, whose subscribers keep them in thread locals.

use tracing::{Span, info_span, subscriber};

use crate::{WAIT, at_once, patched};

#[test]
fn spans_of_tracing_do_not_leak_to_other_green_threads() {
    patched(|| {
        subscriber::set_global_default(tracing_subscriber::registry()).unwrap();
        let seen = at_once(10, |index| {
            let before = Span::current().id();
            let span = info_span!("request", index);
            let _entered = span.enter();
            let own = Span::current().id();
            std::thread::sleep(WAIT);
            (before, span.id() == own, own == Span::current().id(), own)
        });
        let mut ids = Vec::new();
        for (before, entered, stays, id) in seen {
            assert_eq!(before, None);
            assert!(entered && stays);
            ids.push(id.unwrap().into_u64());
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 10);
        // Pooled green threads begin without a span too.
        let later = at_once(10, |_| {
            std::thread::sleep(WAIT);
            Span::current().id()
        });
        assert!(later.iter().all(Option::is_none));
    });
}
