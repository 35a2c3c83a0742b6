//! The message queues of POSIX and of System V, and the semaphores of the latter.

use std::ffi::{CString, c_void};
use std::ptr;

use evy_test_support::within;

use crate::{as_on_os_thread, is_patched, outcome, while_ticking};

/// A queue of POSIX with room for one message.
fn queue(name: &str) -> i32 {
    let name = CString::new(format!("/evy-{name}-{}", std::process::id())).unwrap();
    // SAFETY: all zeros is a valid value, and the pointers are valid.
    unsafe {
        let mut attributes: libc::mq_attr = std::mem::zeroed();
        attributes.mq_maxmsg = 1;
        attributes.mq_msgsize = 8;
        let flags = libc::O_CREAT | libc::O_RDWR;
        let queue = libc::mq_open(name.as_ptr(), flags, 0o600, &raw mut attributes);
        assert!(queue >= 0, "{:?}", std::io::Error::last_os_error());
        libc::mq_unlink(name.as_ptr());
        queue
    }
}

fn receive(queue: i32, deadline: Option<libc::timespec>) -> (i64, Option<i32>) {
    let mut message = [0_i8; 8];
    let (to, len) = (message.as_mut_ptr().cast(), message.len());
    // SAFETY: the pointers are valid or null.
    outcome(unsafe {
        match deadline {
            None => libc::mq_receive(queue, to, len, ptr::null_mut()),
            Some(at) => libc::mq_timedreceive(queue, to, len, ptr::null_mut(), &raw const at),
        }
    })
}

fn send(queue: i32, deadline: Option<libc::timespec>) -> (i64, Option<i32>) {
    let message = c"abc".as_ptr();
    // SAFETY: the pointers are valid.
    outcome(unsafe {
        match deadline {
            None => libc::mq_send(queue, message, 3, 0),
            Some(at) => libc::mq_timedsend(queue, message, 3, 0, &raw const at),
        }
    })
}

/// Returns a time of the real-time clock.
fn seconds_from_now(seconds: i64) -> libc::timespec {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is valid.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    now.tv_sec += seconds;
    now
}

#[test]
fn receives_from_a_queue_park_and_so_do_sends() {
    if !is_patched() {
        return;
    }
    within(|| {
        let queue = queue("park");
        for deadline in [None, Some(seconds_from_now(100))] {
            let received = while_ticking(
                3,
                move |_| receive(queue, deadline),
                || (0..3).for_each(|_| assert_eq!(send(queue, None), (0, None))),
            );
            assert_eq!(received, [(3, None); 3]);

            assert_eq!(send(queue, None), (0, None));
            let sent = while_ticking(
                3,
                move |_| send(queue, deadline),
                || (0..4).for_each(|_| assert_eq!(receive(queue, None), (3, None))),
            );
            assert_eq!(sent, [(0, None); 3]);
        }
    });
}

#[test]
fn waits_for_a_queue_end_when_it_is_closed() {
    if !is_patched() {
        return;
    }
    within(|| {
        let queue = queue("closed");
        // SAFETY: no other call uses the number after this one.
        let close = move || assert_eq!(unsafe { libc::mq_close(queue) }, 0);
        let ended = while_ticking(2, move |_| receive(queue, None), close);
        assert_eq!(ended, [(-1, Some(libc::EBADF)); 2]);
    });
}

#[test]
fn deadlines_and_errors_of_queues_are_those_of_c() {
    if !is_patched() {
        return;
    }
    within(|| {
        as_on_os_thread(|| {
            let queue = queue(&format!("{:?}", std::thread::current().id())[9..10]);
            let invalid = libc::timespec {
                tv_sec: 5,
                tv_nsec: -1,
            };
            let mut found = vec![
                receive(queue, Some(seconds_from_now(-1))),
                receive(queue, Some(invalid)),
                receive(-1, None),
                send(1_000_000, None),
                send(queue, None),
                send(queue, Some(seconds_from_now(-1))),
            ];
            // SAFETY: the attributes are valid, and all zeros else.
            unsafe {
                let mut attributes: libc::mq_attr = std::mem::zeroed();
                attributes.mq_flags = libc::O_NONBLOCK.into();
                libc::mq_setattr(queue, &raw const attributes, ptr::null_mut());
                found.push(send(queue, None));
                found.push(receive(queue, None));
                found.push(receive(queue, None));
                libc::mq_close(queue);
            }
            found
        });
    });
}

unsafe extern "C" {
    fn semtimedop(
        set: i32,
        operations: *mut libc::sembuf,
        count: usize,
        timeout: *const libc::timespec,
    ) -> i32;
}

#[repr(C)]
struct Message {
    kind: libc::c_long,
    text: [u8; 4],
}

#[test]
fn receives_and_sends_of_system_v_park() {
    if !is_patched() {
        return;
    }
    fn receive(queue: i32, flags: i32) -> (i64, Option<i32>) {
        let mut message = Message {
            kind: 0,
            text: [0; 4],
        };
        // SAFETY: the message has room for as many bytes.
        outcome(unsafe { libc::msgrcv(queue, (&raw mut message).cast(), 4, 7, flags) })
    }
    fn send(queue: i32, flags: i32) -> (i64, Option<i32>) {
        let message = Message {
            kind: 7,
            text: *b"text",
        };
        let message: *const c_void = (&raw const message).cast();
        // SAFETY: the message has as many bytes.
        outcome(unsafe { libc::msgsnd(queue, message, 4, flags) })
    }
    within(|| {
        // SAFETY: the call has no pointers.
        let queue = unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) };
        let release = || (0..3).for_each(|_| assert_eq!(send(queue, 0), (0, None)));
        let received = while_ticking(3, move |_| receive(queue, 0), release);
        assert_eq!(received, [(4, None); 3]);
        let empty = receive(queue, libc::IPC_NOWAIT);
        assert_eq!(empty, (-1, Some(libc::ENOMSG)));

        while send(queue, libc::IPC_NOWAIT) == (0, None) {}
        let release = || (0..9).for_each(|_| assert_eq!(receive(queue, 0), (4, None)));
        assert_eq!(
            while_ticking(2, move |_| send(queue, 0), release),
            [(0, None); 2]
        );

        // SAFETY: the pointer is not used.
        let remove = move || {
            assert_eq!(
                unsafe { libc::msgctl(queue, libc::IPC_RMID, ptr::null_mut()) },
                0
            )
        };
        while receive(queue, libc::IPC_NOWAIT) == (4, None) {}
        let ended = while_ticking(2, move |_| receive(queue, 0), remove);
        assert_eq!(ended, [(-1, Some(libc::EIDRM)); 2]);
    });
}

#[test]
fn semaphores_of_system_v_park() {
    if !is_patched() {
        return;
    }
    fn change(set: i32, by: i16, flags: i32, time: Option<libc::timespec>) -> (i64, Option<i32>) {
        let mut one = libc::sembuf {
            sem_num: 0,
            sem_op: by,
            sem_flg: flags as i16,
        };
        // SAFETY: the pointers are valid.
        outcome(unsafe {
            match time {
                None => libc::semop(set, &raw mut one, 1),
                Some(time) => semtimedop(set, &raw mut one, 1, &raw const time),
            }
        })
    }
    within(|| {
        // SAFETY: the call has no pointers.
        let set = unsafe { libc::semget(libc::IPC_PRIVATE, 1, 0o600) };
        let release = || (0..3).for_each(|_| assert_eq!(change(set, 1, 0, None), (0, None)));
        let acquired = while_ticking(3, move |_| change(set, -1, 0, None), release);
        assert_eq!(acquired, [(0, None); 3]);
        let short = libc::timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        let late = crate::parking(|| change(set, -1, 0, Some(short)));
        assert_eq!(late, (-1, Some(libc::EAGAIN)));
        let none = change(set, -1, libc::IPC_NOWAIT, None);
        assert_eq!(none, (-1, Some(libc::EAGAIN)));
        // SAFETY: no argument is used.
        assert_eq!(unsafe { libc::semctl(set, 0, libc::IPC_RMID) }, 0);
    });
}
