//! Locks, conditions and joins of C and C++, in a shared library that is compiled here.

use std::ffi::{CString, c_int, c_void};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use evy_test_support::within;

use crate::is_patched;

/// A function of `native/objects.cpp` or `native/calls.cpp`.
type Function = unsafe extern "C-unwind" fn(c_int, c_int) -> c_int;

/// Compiles the library and loads it. Returns `None`, and says why, where there is no compiler.
fn library() -> Option<usize> {
    static LIBRARY: OnceLock<Option<usize>> = OnceLock::new();
    *LIBRARY.get_or_init(|| {
        let sources = ["objects.cpp", "calls.cpp"];
        let source =
            |name| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/native")).join(name);
        let mut target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        target.push(format!("objects-{}.so", std::process::id()));
        let compiled = Command::new("g++")
            .args(["-std=c++20", "-O1", "-shared", "-fPIC", "-pthread", "-o"])
            .arg(&target)
            .args(sources.map(source))
            .status();
        match compiled {
            Ok(status) => assert!(status.success()),
            Err(error) => {
                println!("skipped: there is no g++: {error}");
                return None;
            }
        }
        let name = CString::new(target.to_str().unwrap()).unwrap();
        // SAFETY: the library has no initializers that could do harm.
        let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        std::fs::remove_file(target).unwrap();
        assert!(!library.is_null());
        Some(library.expose_provenance())
    })
}

fn function(name: &str) -> Option<Function> {
    let library = library()?;
    let name = CString::new(name).unwrap();
    // SAFETY: the library has functions of this type only.
    unsafe {
        let address = libc::dlsym(library as *mut c_void, name.as_ptr());
        assert!(!address.is_null(), "{name:?}");
        Some(std::mem::transmute::<*mut c_void, Function>(address))
    }
}

/// Calls a function from four green threads of this OS thread, two of another one, and an OS thread
/// without green threads.
fn meets(name: &str) {
    if !is_patched() {
        return;
    }
    let Some(function) = function(name) else {
        return;
    };
    const COUNT: c_int = 7;
    let call = move |index| {
        // SAFETY: it may be called from any thread.
        let line = unsafe { function(index, COUNT) };
        assert_eq!(
            line, 0,
            "thread {index} has failed in this line of its function"
        );
    };
    let on_green = move |indices: std::ops::Range<c_int>| {
        let all: Vec<_> = indices
            .map(|index| evy::spawn(move || call(index)))
            .collect();
        for green in all {
            green.join().unwrap();
        }
    };
    within(move || {
        let other = std::thread::spawn(move || on_green(4..6));
        let os = std::thread::spawn(move || call(6));
        let ticker = evy::spawn(|| {
            loop {
                evy::sleep(std::time::Duration::from_millis(1));
            }
        });
        on_green(0..4);
        ticker.kill();
        other.join().unwrap();
        os.join().unwrap();
    });
}

macro_rules! tests {
    ($($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                meets(stringify!($name));
            }
        )*
    };
}

tests! {
    a_mutex_is_held_across_a_sleep,
    a_recursive_mutex_knows_its_owner,
    a_timed_lock_gives_up,
    a_condition_variable_passes_a_turn_around,
    each_notify_one_passes_an_item,
    waits_time_out,
    call_once_waits_for_the_initializer,
    call_once_tries_again_after_an_exception,
    a_static_is_initialized_once,
    threads_are_joined,
    readers_share_and_writers_do_not,
    atomics_wait_and_notify,
    latches_barriers_and_semaphores_meet,
    posix_barriers_and_semaphores_meet,
    checked_mutexes_report_misuse,
    c11_objects_work,
    a_mutex_with_priority_inheritance_is_exclusive,
    a_recursive_mutex_with_priority_inheritance_is_exclusive,
    a_checked_mutex_with_priority_inheritance_is_exclusive,
    a_robust_mutex_with_priority_inheritance_is_exclusive,
    a_condition_with_priority_inheritance_passes_a_turn_around,
    a_timed_lock_with_priority_inheritance_gives_up,
    exceptions_are_caught_where_they_are_thrown,
    a_thread_that_is_asked_to_stop_ends,
    a_stop_ends_the_wait_of_its_caller,
    promises_carry_values_and_exceptions,
    exceptions_pass_through_frames_that_park,
    streams_over_pipes_park,
    waits_on_a_given_clock_time_out,
    descriptors_with_large_numbers_are_selected,
    an_epoll_in_a_poll_in_an_epoll_reports,
    many_connections_are_accepted,
    names_are_resolved_by_all,
    commands_of_the_shell_run_at_once,
    messages_of_system_v_pass_a_turn_around,
    semaphores_of_system_v_exclude,
    locks_of_open_files_exclude,
    a_reader_whose_descriptor_is_replaced_gets_an_end_or_an_error,
    children_are_waited_for_by_all,
    timers_are_read_at_their_time,
}

#[test]
fn objects_of_a_thread_are_destroyed_once_before_the_join() {
    if !is_patched() {
        return;
    }
    let (Some(function), Some(destroyed)) = (
        function("objects_of_a_thread_are_its_own"),
        function("destroyed_objects"),
    ) else {
        return;
    };
    // SAFETY: both may be called from any thread.
    let (call, count) = unsafe { (move || function(0, 0), move || destroyed(0, 0)) };
    within(move || {
        let kill = evy::spawn(move || {
            assert_eq!(call(), 0);
            evy::thread::park();
        });
        let panic = evy::spawn(move || {
            assert_eq!(call(), 0);
            std::panic::resume_unwind(Box::new(1));
        });
        assert!(panic.join().unwrap_err().is_panic());
        kill.kill();
        assert!(kill.join().unwrap_err().is_killed());
        // Two objects each: the one of the key's destructor too.
        assert_eq!(count(), 4);
        for round in 1..10 {
            // Stacks and identities are used again.
            let both = [evy::spawn(call), evy::spawn(call)];
            assert!(both.map(|green| green.join().unwrap()) == [0, 0]);
            assert_eq!(count(), 4 + 4 * round);
        }
    });
}
