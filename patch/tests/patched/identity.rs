//! What C says of the calling thread.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

use evy_test_support::within;

use crate::{as_on_os_thread, is_patched};

#[test]
fn the_stack_of_a_green_thread_is_its_own() {
    if !is_patched() {
        return;
    }
    within(|| {
        let green = evy::spawn(|| {
            let local = 0_u8;
            let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
            let (mut base, mut size) = (std::ptr::null_mut(), 0);
            // SAFETY: each object is initialized before it is read.
            unsafe {
                let attributes = attributes.as_mut_ptr();
                assert_eq!(
                    libc::pthread_getattr_np(libc::pthread_self(), attributes),
                    0
                );
                let result = libc::pthread_attr_getstack(attributes, &raw mut base, &raw mut size);
                assert_eq!(result, 0);
                libc::pthread_attr_destroy(attributes);
            }
            let stack = base.addr()..base.addr() + size;
            assert!(stack.contains(&(&raw const local).addr()));
            assert!(size < 64 << 20);
        });
        green.join().unwrap();
    });
}

#[test]
fn a_green_thread_that_names_itself_names_no_other() {
    if !is_patched() {
        return;
    }
    fn name() -> String {
        let mut buffer = [0; 16];
        // SAFETY: the buffer is valid.
        unsafe {
            let me = libc::pthread_self();
            assert_eq!(libc::pthread_getname_np(me, buffer.as_mut_ptr(), 16), 0);
            CStr::from_ptr(buffer.as_ptr()).to_str().unwrap().to_owned()
        }
    }
    fn set_name(name: &CStr) -> i32 {
        // SAFETY: the name is valid.
        unsafe { libc::pthread_setname_np(libc::pthread_self(), name.as_ptr()) }
    }
    within(|| {
        let before = name();
        let green = evy::spawn(|| {
            assert_eq!(set_name(c"green"), 0);
            evy::yield_now();
            assert_eq!(name(), "green");
        });
        green.join().unwrap();
        let next = evy::spawn(name);
        assert_eq!(next.join().unwrap(), before);
        as_on_os_thread(|| set_name(c"a name that is too long"));
        assert_eq!(name(), before);
    });
}

#[test]
fn a_green_thread_can_send_itself_a_signal() {
    if !is_patched() {
        return;
    }
    static HANDLED: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn handle(_: i32) {
        HANDLED.fetch_add(1, Ordering::SeqCst);
    }
    within(|| {
        let green = evy::spawn(|| {
            // SAFETY: the handler only counts.
            unsafe {
                let handler = handle as extern "C" fn(i32);
                libc::signal(libc::SIGURG, handler as libc::sighandler_t);
                assert_eq!(libc::raise(libc::SIGURG), 0);
                assert_eq!(libc::pthread_kill(libc::pthread_self(), libc::SIGURG), 0);
            }
        });
        green.join().unwrap();
        assert_eq!(HANDLED.load(Ordering::SeqCst), 2);
    });
}

unsafe extern "C" {
    fn pthread_cancel(thread: libc::pthread_t) -> i32;
    fn pthread_sigqueue(thread: libc::pthread_t, signal: i32, value: libc::sigval) -> i32;
}

#[test]
fn a_green_thread_can_queue_itself_a_signal_with_a_value() {
    if !is_patched() {
        return;
    }
    static VALUE: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn handle(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the signal has a value.
        VALUE.store(
            unsafe { (*info).si_value() }.sival_ptr.addr(),
            Ordering::SeqCst,
        );
    }
    within(|| {
        let green = evy::spawn(|| {
            let handler = handle as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);
            let value = libc::sigval {
                sival_ptr: std::ptr::without_provenance_mut(7),
            };
            // SAFETY: the handler only stores a number.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = handler as libc::sighandler_t;
                action.sa_flags = libc::SA_SIGINFO;
                libc::sigaction(libc::SIGIO, &raw const action, std::ptr::null_mut());
                assert_eq!(
                    pthread_sigqueue(libc::pthread_self(), libc::SIGIO, value),
                    0
                );
            }
        });
        green.join().unwrap();
        assert_eq!(VALUE.load(Ordering::SeqCst), 7);
    });
}

#[test]
fn the_pthread_of_a_green_thread_is_not_cancelled_joined_or_detached() {
    if !is_patched() {
        return;
    }
    within(|| {
        let on_own_os_thread = || {
            let green = evy::spawn(|| {
                // SAFETY: the call has no preconditions.
                let me = unsafe { libc::pthread_self() };
                evy::yield_now();
                // SAFETY: the thread is the calling one.
                unsafe {
                    assert_eq!(pthread_cancel(me), libc::ESRCH);
                    assert_eq!(libc::pthread_detach(me), 0);
                    // It could be cancelled here.
                    assert!(std::fs::File::open("/proc/self/exe").is_ok());
                    let joined = libc::pthread_join(me, std::ptr::null_mut());
                    assert_eq!(joined, libc::EDEADLK);
                }
                evy::sleep(std::time::Duration::from_millis(10));
                me
            });
            let other = evy::spawn(|| {
                // SAFETY: the call has no preconditions.
                unsafe { libc::pthread_self() }
            });
            evy::yield_now();
            let join = |thread| {
                // SAFETY: it is the pthread of a green thread, which the runtime keeps.
                unsafe { libc::pthread_join(thread, std::ptr::null_mut()) }
            };
            let ended = other.join().unwrap();
            assert_eq!(join(ended), libc::EINVAL);
            // SAFETY: as above.
            assert_eq!(unsafe { pthread_cancel(ended) }, libc::ESRCH);
            let on_os_thread = std::thread::spawn(move || join(ended));
            assert_eq!(on_os_thread.join().unwrap(), libc::EINVAL);
            assert_eq!(join(green.join().unwrap()), libc::EINVAL);
        };
        std::thread::spawn(on_own_os_thread).join().unwrap();
        std::thread::spawn(|| ()).join().unwrap();
    });
}

#[test]
fn the_scheduling_of_a_green_thread_is_that_of_its_os_thread() {
    if !is_patched() {
        return;
    }
    within(|| {
        as_on_os_thread(|| {
            // SAFETY: each object is initialized before it is read.
            unsafe {
                let me = libc::pthread_self();
                let mut set: libc::cpu_set_t = std::mem::zeroed();
                let size = size_of::<libc::cpu_set_t>();
                let affinity = libc::pthread_getaffinity_np(me, size, &raw mut set);
                let (mut policy, mut clock) = (0, 0);
                let mut parameters: libc::sched_param = std::mem::zeroed();
                let scheduling =
                    libc::pthread_getschedparam(me, &raw mut policy, &raw mut parameters);
                let found = libc::pthread_getcpuclockid(me, &raw mut clock);
                let mut time: libc::timespec = std::mem::zeroed();
                let read = libc::clock_gettime(clock, &raw mut time);
                (
                    affinity,
                    libc::CPU_COUNT(&set),
                    scheduling,
                    policy,
                    found,
                    read,
                )
            }
        });
    });
}
