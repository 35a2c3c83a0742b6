//! `lowlevel::hooks::Caller`: parking below frames of foreign code.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::io::Direction;
use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{Caller, Interruption, Registered, WaitEnd};
use evy_runtime::thread::Builder;
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
            let input = [(0, Direction::Read)];
            let registered = kept.register(&input);
            assert_eq!(registered.unwrap_err().raw_os_error(), Some(libc::EPERM));
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

#[test]
fn registered_descriptors_are_waited_for_by_their_green_thread_only() {
    within(|| {
        // There are callers from the first call of evy on.
        evy_runtime::yield_now();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let wanted = [(reader.as_raw_fd(), Direction::Read)];
        let register = || Caller::current().unwrap().register(&wanted).unwrap();
        let wait = |registered: &mut Registered| {
            let deadline = Caller::current()?.deadline_after(Duration::from_millis(1));
            Some(registered.wait(WaitReason::Sleep, deadline, Interruption::Waits))
        };
        let mut registered = register();
        assert_eq!(wait(&mut registered), Some(WaitEnd::TimedOut));
        let registered = Rc::new(RefCell::new(Some(registered)));
        let Ok(with_identity) = Builder::new().own_identity().spawn({
            let registered = Rc::clone(&registered);
            move || {
                // Its green thread would be woken, and not this one.
                let mut of_other = registered.take().unwrap();
                assert_eq!(wait(&mut of_other), Some(WaitEnd::Woken));
                registered.replace(Some(Caller::current().unwrap().register(&[]).unwrap()));
            }
        }) else {
            return;
        };
        with_identity.join().unwrap();
        // That of a green thread that has ended.
        let mut of_ended = registered.take().unwrap();
        assert_eq!(wait(&mut of_ended), Some(WaitEnd::Woken));
        writer.write_all(b"x").unwrap();
        let mut registered = register();
        assert_eq!(wait(&mut registered), Some(WaitEnd::Woken));
    });
}
