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
