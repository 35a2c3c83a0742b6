//! `lowlevel::hooks::Caller`: parking below frames of foreign code.

use std::cell::Cell;
use std::time::Duration;

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{Caller, Interruption, WaitEnd};
use evy_test_support::{rerun_ignored, within};

thread_local! {
    static KEPT: Cell<Option<Caller>> = const { Cell::new(None) };
}

#[test]
fn a_caller_that_is_kept_parks_nowhere_where_that_is_not_allowed() {
    let status = rerun_ignored("foreign_caller::keeps_a_caller").status();
    assert!(status.unwrap().success());
}

#[test]
#[ignore = "run by `a_caller_that_is_kept_parks_nowhere_where_that_is_not_allowed`"]
fn keeps_a_caller() {
    const LONG: Duration = Duration::from_secs(1000);
    std::panic::set_hook(Box::new(|_| {
        assert!(Caller::current().is_none());
        if let Some(kept) = KEPT.get() {
            let deadline = kept.deadline_after(LONG);
            let (reason, waits) = (WaitReason::Sleep, Interruption::Waits);
            assert_eq!(kept.park(reason, deadline, waits), WaitEnd::Woken);
            let input = [(0, evy_runtime::io::Direction::Read)];
            let waited = kept.wait_for_descriptors(&input, reason, deadline, waits);
            assert_eq!(waited.unwrap_err().raw_os_error(), Some(libc::EPERM));
            kept.yield_now();
        }
    }));
    within(|| {
        // The hook of the runtime calls the one above, and forbids to park meanwhile.
        evy_runtime::yield_now();
        let caller = Caller::current().unwrap();
        let short = caller.deadline_after(Duration::from_millis(1));
        let park = |deadline| caller.park(WaitReason::Sleep, deadline, Interruption::Waits);
        assert_eq!(park(short), WaitEnd::TimedOut);
        KEPT.set(Some(caller));
        assert!(std::panic::catch_unwind(|| panic!("calls the hook")).is_err());
        KEPT.set(None);
    });
}
