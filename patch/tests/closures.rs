//! Tests in a process that is not patched as a whole: `patched` and `unpatched` with a closure.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::cell::Cell;
use std::panic::Location;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy::patch::{self, Categories, PatchError, is_patched, patched, unpatched};
use evy::thread::Builder;
use evy_test_support::within;

/// Runs `test`, unless nothing can be patched in this program.
fn within_if_supported(test: impl FnOnce() -> Result<(), PatchError> + Send + 'static) {
    within(|| {
        if let Err(error) = test() {
            println!("skipped: {error}");
        }
    });
}

/// Whether another green thread runs while the calling one is in `std::thread::sleep`.
fn sleep_parks() -> bool {
    let has_run = Rc::new(Cell::new(false));
    let other = Rc::clone(&has_run);
    let other = evy::spawn(move || other.set(true));
    std::thread::sleep(Duration::from_millis(10));
    let parks = has_run.get();
    other.join().unwrap();
    parks
}

#[test]
fn a_closure_is_patched_and_the_other_green_threads_are_not() {
    within_if_supported(|| {
        patched(|| ())?;
        let light = evy::spawn(|| {
            assert!(!sleep_parks() && !is_patched());
            assert!(patched(|| is_patched() && sleep_parks()).unwrap());
            assert!(!sleep_parks() && !is_patched());
        });
        light.join().unwrap();
        assert!(patched(|| is_patched() && sleep_parks())?);
        assert!(!sleep_parks() && !is_patched());
        Ok(())
    });
}

#[test]
fn closures_nest_in_both_orders() {
    within_if_supported(|| {
        let nested = || {
            patched(|| {
                assert!(sleep_parks());
                assert!(!unpatched(|| is_patched() || sleep_parks()));
                assert!(unpatched(|| patched(sleep_parks)).unwrap());
                assert!(patched(sleep_parks).unwrap() && sleep_parks());
            })
        };
        nested()?;
        evy::spawn(nested).join().unwrap()
    });
}

#[test]
fn a_light_green_thread_that_parks_in_unpatched_changes_no_other() {
    within_if_supported(|| {
        let light = evy::spawn(|| unpatched(|| evy::sleep(Duration::from_millis(20))));
        evy::yield_now();
        // The root green thread has its thread locals in common with the light one.
        patched(|| {
            assert!(is_patched() && sleep_parks());
            light.join().unwrap();
            assert!(is_patched() && sleep_parks());
        })?;
        let report = patch::doctor();
        assert_eq!(
            report.not_here,
            Some("neither `monkey_patch` nor `patched` is in effect")
        );
        assert!(patched(sleep_parks)?);
        Ok(())
    });
}

#[test]
fn a_light_green_thread_is_not_patched_while_the_root_is() {
    within_if_supported(|| {
        patched(|| {
            let light = evy::spawn(|| assert!(!is_patched() && !sleep_parks()));
            light.join().unwrap();
            assert!(is_patched());
        })
    });
}

#[test]
#[expect(clippy::large_stack_arrays, reason = "the default stack has less room")]
fn a_closure_on_a_light_green_thread_keeps_the_name_and_the_size_of_the_stack() {
    within_if_supported(|| {
        let line = line!() + 2;
        let closure = || {
            patched(|| {
                let mut deep = [0_u8; 512 * 1024];
                std::hint::black_box(&mut deep);
                let me = evy::thread::current();
                (me.name().map(str::to_owned), me.spawned_at())
            })
        };
        let builder = Builder::new().name("worker".into()).stack_size(1 << 20);
        let (name, site): (_, &Location<'_>) = builder.spawn(closure).unwrap().join().unwrap()?;
        assert_eq!(name.as_deref(), Some("worker"));
        assert_eq!((site.file(), site.line()), (file!(), line));
        Ok(())
    });
}

#[test]
fn a_closure_borrows_panics_and_is_killed_like_any_code_of_its_green_thread() {
    within_if_supported(|| {
        patched(|| ())?;
        let green = evy::spawn(|| {
            let mut words = vec!["a"];
            let length = patched(|| {
                words.push("b");
                words.len()
            });
            assert_eq!((length.unwrap(), words.len()), (2, 2));
            patched(|| panic!("in a closure")).unwrap();
        });
        let error = green.join().unwrap_err();
        assert_eq!(error.downcast_ref::<&str>(), Some(&"in a closure"));

        let is_unwound = Rc::new(Cell::new(false));
        let unwound = Rc::clone(&is_unwound);
        let green = evy::spawn(move || {
            struct Note(Rc<Cell<bool>>);
            impl Drop for Note {
                fn drop(&mut self) {
                    self.0.set(true);
                }
            }
            patched(|| {
                let _note = Note(unwound);
                std::thread::sleep(Duration::from_secs(600));
                evy::yield_now();
            })
        });
        evy::yield_now();
        evy::yield_now();
        let start = Instant::now();
        green.kill();
        assert!(green.join().unwrap_err().is_killed() && is_unwound.get());
        assert!(start.elapsed() < Duration::from_secs(60));
        Ok(())
    });
}

#[test]
fn no_category_patches_nothing() {
    within_if_supported(|| {
        patch::monkey_patch_only(Categories::empty())?;
        let own_name = || std::thread::current().name().map(str::to_owned);
        let here = own_name();
        // A green thread with an identity has no name that std knows.
        evy::spawn(move || assert!(!is_patched() && own_name() == here))
            .join()
            .unwrap();
        Ok(())
    });
}

#[test]
fn doctor_and_the_error_agree_on_the_reason() {
    within(|| {
        let report = patch::doctor();
        let text = report.to_string();
        match patch::monkey_patch_only(Categories::empty()) {
            Ok(()) => {
                assert_eq!((report.no_identities, report.unreached.len()), (None, 0));
                assert!(text.ends_with("\nhooks: reached by all calls"), "{text}");
            }
            Err(error) => {
                let reason = report.no_identities.unwrap();
                assert!(error.to_string().ends_with(&reason), "{error}");
                assert!(text.contains(&reason), "{text}");
            }
        }
        assert!(
            text.contains("\npatched for this green thread: no: "),
            "{text}"
        );
    });
}

#[test]
fn doctor_says_why_a_green_thread_is_not_patched() {
    within_if_supported(|| {
        let reason = || patch::doctor().not_here;
        assert!(patched(reason)?.is_none());
        assert_eq!(unpatched(reason), Some("it runs in `unpatched`"));
        let light = evy::spawn(reason).join().unwrap();
        assert_eq!(
            light,
            Some("neither `monkey_patch` nor `patched` is in effect")
        );
        Ok(())
    });
}
