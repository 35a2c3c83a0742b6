//! `fork` and changes of the user on green threads.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use evy_test_support::within;

use crate::{as_on_os_thread, is_patched, outcome};

/// Runs `f` in a child, and returns how that has ended.
fn in_child(create: unsafe extern "C" fn() -> i32, f: impl FnOnce()) -> ExitStatus {
    // SAFETY: the child runs `f` and ends.
    unsafe {
        match create() {
            0 => {
                f();
                libc::_exit(0)
            }
            child => {
                assert!(child > 0);
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
                ExitStatus::from_raw(status)
            }
        }
    }
}

unsafe extern "C" {
    fn fork() -> i32;
    fn vfork() -> i32;
}

#[test]
fn nothing_is_patched_in_the_child_of_a_fork() {
    if !is_patched() {
        return;
    }
    within(|| {
        for create in [fork, vfork] {
            let green = evy::spawn(move || {
                let (mut reader, mut writer) = std::io::pipe().unwrap();
                let status = in_child(create, || {
                    let mut byte = [0];
                    let slept = std::time::Instant::now();
                    std::thread::sleep(Duration::from_millis(20));
                    let has_slept = slept.elapsed() >= Duration::from_millis(20);
                    writer.write_all(b"x").unwrap();
                    reader.read_exact(&mut byte).unwrap();
                    if evy::patch::is_patched() || byte != *b"x" || !has_slept {
                        // SAFETY: it ends the child.
                        unsafe { libc::_exit(1) };
                    }
                });
                assert!(status.success(), "{status:?}");
            });
            green.join().unwrap();
        }
        assert!(evy::patch::is_patched());
    });
}

#[test]
fn green_threads_have_no_scheduler_in_the_child() {
    if !is_patched() {
        return;
    }
    unsafe extern "C" {
        fn _Fork() -> i32;
    }
    fn fails() -> bool {
        std::panic::set_hook(Box::new(|_| ()));
        std::panic::catch_unwind(evy::yield_now).is_err()
    }
    // After `_Fork`, a lock of the allocator may be held forever, so the child must not allocate.
    fn has_none() -> bool {
        !evy::lowlevel::hooks::has_scheduler()
    }
    within(|| {
        let children: [(unsafe extern "C" fn() -> i32, fn() -> bool); 3] =
            [(fork, fails), (vfork, fails), (_Fork, has_none)];
        for (create, is_right) in children {
            let green = evy::spawn(move || {
                let status = in_child(create, || {
                    // SAFETY: it ends the child.
                    unsafe { libc::_exit(if is_right() { 7 } else { 8 }) }
                });
                assert_eq!(status.code(), Some(7), "{status:?}");
            });
            green.join().unwrap();
        }
        evy::yield_now();
    });
}

#[test]
fn the_parent_goes_on_under_its_own_identity() {
    if !is_patched() {
        return;
    }
    within(|| {
        let all: Vec<_> = (0..5)
            .map(|_| {
                evy::spawn(|| {
                    let before = std::thread::current().id();
                    // SAFETY: the call has no preconditions.
                    let me = unsafe { libc::pthread_self() };
                    let status = in_child(fork, || std::thread::sleep(Duration::from_millis(30)));
                    assert!(status.success());
                    assert_eq!(std::thread::current().id(), before);
                    // SAFETY: as above.
                    assert_eq!(unsafe { libc::pthread_self() }, me);
                })
            })
            .collect();
        assert!(evy::wait_all(all).into_iter().all(|ended| ended.is_ok()));
    });
}

#[test]
fn the_user_and_the_group_can_be_changed_by_green_threads() {
    if !is_patched() {
        return;
    }
    within(|| {
        let idle = std::thread::spawn(|| std::thread::sleep(Duration::from_millis(200)));
        let green = evy::spawn(|| {
            // SAFETY: the calls set what is set already.
            unsafe {
                let (user, group) = (libc::getuid(), libc::getgid());
                assert_eq!(libc::setgid(group), 0);
                assert_eq!(libc::setegid(group), 0);
                assert_eq!(libc::setuid(user), 0);
                assert_eq!(libc::seteuid(user), 0);
                assert_eq!(libc::setreuid(user, user), 0);
                assert_eq!(libc::setregid(group, group), 0);
                assert_eq!(libc::setresuid(user, user, user), 0);
                assert_eq!(libc::setresgid(group, group, group), 0);
            }
        });
        green.join().unwrap();
        idle.join().unwrap();
    });
}

/// Changes the group on OS threads of their own, while green threads call `f`.
///
/// The C library holds its lock of the list of threads until each of them has changed it too.
fn while_groups_change(f: impl Fn() + Clone + Send + 'static) {
    within(move || {
        let changing: Vec<_> = (0..2)
            .map(|_| {
                std::thread::spawn(|| {
                    for _ in 0..200 {
                        // SAFETY: the calls set what is set already.
                        assert_eq!(unsafe { libc::setgid(libc::getgid()) }, 0);
                    }
                })
            })
            .collect();
        while !changing.iter().all(std::thread::JoinHandle::is_finished) {
            let all: Vec<_> = (0..10).map(|_| evy::spawn(f.clone())).collect();
            assert!(evy::wait_all(all).into_iter().all(|ended| ended.is_ok()));
        }
        for thread in changing {
            thread.join().unwrap();
        }
    });
}

#[test]
fn green_threads_start_os_threads_while_the_group_is_changed() {
    if is_patched() {
        while_groups_change(|| std::thread::spawn(|| ()).join().unwrap());
    }
}

#[test]
fn identities_begin_and_end_while_the_group_is_changed() {
    if is_patched() {
        while_groups_change(|| {
            let on_os_thread = || {
                let all: Vec<_> = (0..3).map(|_| evy::spawn(evy::yield_now)).collect();
                assert!(evy::wait_all(all).into_iter().all(|ended| ended.is_ok()));
            };
            std::thread::spawn(on_os_thread).join().unwrap();
        });
    }
}

#[test]
fn green_threads_fork_while_the_group_is_changed() {
    if is_patched() {
        while_groups_change(|| assert!(in_child(fork, || ()).success()));
    }
}

#[test]
fn green_threads_start_processes_while_the_group_is_changed() {
    if is_patched() {
        while_groups_change(|| {
            assert!(
                std::process::Command::new("true")
                    .status()
                    .unwrap()
                    .success()
            );
        });
    }
}

#[test]
fn errors_of_changes_of_the_user_are_those_of_c() {
    if !is_patched() {
        return;
    }
    within(|| {
        as_on_os_thread(|| {
            // SAFETY: the kernel refuses all of these.
            unsafe {
                let none = libc::uid_t::MAX;
                [
                    outcome(libc::setuid(none)),
                    outcome(libc::setegid(none)),
                    outcome(libc::setgroups(usize::MAX >> 8, std::ptr::null())),
                ]
            }
        });
    });
}

#[test]
fn pthread_exit_aborts_with_a_message() {
    if !is_patched() {
        return;
    }
    within(|| {
        let green = evy::spawn(|| {
            let (mut reader, writer) = std::io::pipe().unwrap();
            let status = in_child(fork, move || {
                use std::os::fd::AsRawFd;
                // SAFETY: the calls concern the child only.
                unsafe {
                    libc::dup2(writer.as_raw_fd(), 2);
                    libc::pthread_exit(std::ptr::null_mut())
                }
            });
            assert_eq!(status.signal(), Some(libc::SIGABRT));
            let mut message = [0; 200];
            let len = reader.read(&mut message).unwrap();
            let message = String::from_utf8_lossy(&message[..len]);
            assert!(message.contains("pthread_exit"), "{message}");
        });
        green.join().unwrap();
    });
}
