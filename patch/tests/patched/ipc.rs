//! Message queues and semaphores that processes share, commands of the shell, and asynchronous
//! input and output.

use std::ffi::{CString, c_char, c_int};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::ptr;

use evy_test_support::within;

use crate::{as_on_os_thread, is_patched, outcome, while_ticking};

/// Creates a queue of POSIX for two messages of eight bytes.
fn queue() -> Option<libc::mqd_t> {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = CString::new(format!("/evy-{}-{number}", std::process::id())).unwrap();
    // SAFETY: all zeros is a valid value, and the pointers are valid.
    unsafe {
        let mut limits: libc::mq_attr = std::mem::zeroed();
        limits.mq_maxmsg = 2;
        limits.mq_msgsize = 8;
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        let queue = libc::mq_open(name.as_ptr(), flags, 0o600, &raw mut limits);
        if queue < 0 {
            println!("skipped: {}", std::io::Error::last_os_error());
            return None;
        }
        libc::mq_unlink(name.as_ptr());
        Some(queue)
    }
}

fn send(queue: libc::mqd_t, priority: u32) {
    // SAFETY: the message is readable.
    let sent = unsafe { libc::mq_send(queue, c"12345678".as_ptr(), 8, priority) };
    assert_eq!(sent, 0);
}

fn receive(queue: libc::mqd_t) -> (i64, u32) {
    let (mut buffer, mut priority) = ([c_char::default(); 8], 0);
    // SAFETY: the pointers are valid.
    let len = unsafe { libc::mq_receive(queue, buffer.as_mut_ptr(), 8, &raw mut priority) };
    (outcome(len as i64).0, priority)
}

#[test]
fn a_message_queue_of_posix_parks_until_there_is_a_message_or_room() {
    if !is_patched() {
        return;
    }
    within(|| {
        let Some(queue) = queue() else {
            return;
        };
        let received = while_ticking(
            2,
            move |_| receive(queue),
            move || {
                send(queue, 3);
                send(queue, 3);
            },
        );
        assert_eq!(received, [(8, 3), (8, 3)]);
        send(queue, 1);
        send(queue, 1);
        while_ticking(
            1,
            move |_| send(queue, 2),
            move || assert_eq!(receive(queue), (8, 1)),
        );
        assert_eq!(receive(queue), (8, 2));
    });
}

#[test]
fn the_times_and_errors_of_a_message_queue_are_those_of_c() {
    if !is_patched() || queue().is_none() {
        return;
    }
    within(|| {
        let found = as_on_os_thread(|| {
            let queue = queue().unwrap();
            let receive = |queue, len, seconds, nanoseconds| {
                let until = libc::timespec {
                    tv_sec: seconds,
                    tv_nsec: nanoseconds,
                };
                let mut buffer = [c_char::default(); 8];
                // SAFETY: the kernel checks the arguments.
                outcome(unsafe {
                    let priority = ptr::null_mut();
                    libc::mq_timedreceive(
                        queue,
                        buffer.as_mut_ptr(),
                        len,
                        priority,
                        &raw const until,
                    )
                } as i64)
            };
            [
                receive(queue, 8, 1, 0),
                receive(queue, 8, 1, -1),
                receive(queue, 1, 1, 0),
                receive(-1, 8, 1, 0),
            ]
        });
        let errors = [libc::ETIMEDOUT, libc::EINVAL, libc::EMSGSIZE, libc::EBADF];
        assert_eq!(found, errors.map(|errno| (-1, Some(errno))));
    });
}

unsafe extern "C" {
    fn semtimedop(
        set: c_int,
        operations: *mut libc::sembuf,
        count: usize,
        timeout: *const libc::timespec,
    ) -> c_int;
}

#[repr(C)]
struct Message {
    kind: libc::c_long,
    text: [u8; 8],
}

#[test]
fn a_message_queue_of_system_v_parks() {
    if !is_patched() {
        return;
    }
    within(|| {
        // SAFETY: the calls take numbers, and pointers to messages.
        unsafe {
            let queue = libc::msgget(libc::IPC_PRIVATE, 0o600);
            assert!(queue >= 0);
            let receive = move |index: usize| {
                let mut message = Message {
                    kind: 0,
                    text: [0; 8],
                };
                let kind = index as libc::c_long + 1;
                let found = libc::msgrcv(queue, (&raw mut message).cast(), 8, kind, 0);
                (found, message.text[0])
            };
            let release = move || {
                for kind in [2, 1] {
                    let text = [kind as u8; 8];
                    let message = Message { kind, text };
                    assert_eq!(libc::msgsnd(queue, (&raw const message).cast(), 8, 0), 0);
                }
            };
            assert_eq!(while_ticking(2, receive, release), [(8, 1), (8, 2)]);
            let remove = move || {
                libc::msgctl(queue, libc::IPC_RMID, ptr::null_mut());
            };
            let wait = move |_| {
                let mut message = [0_u64; 2];
                outcome(libc::msgrcv(queue, message.as_mut_ptr().cast(), 8, 0, 0) as i64)
            };
            assert_eq!(while_ticking(1, wait, remove), [(-1, Some(libc::EIDRM))]);
        }
    });
}

#[test]
fn a_semaphore_of_system_v_parks() {
    if !is_patched() {
        return;
    }
    within(|| {
        // SAFETY: the calls take numbers, and pointers that are valid or null.
        unsafe {
            let set = libc::semget(libc::IPC_PRIVATE, 1, 0o600);
            assert!(set >= 0);
            let change = move |by: i16, flags: c_int, time: Option<libc::timespec>| {
                let mut operation = libc::sembuf {
                    sem_num: 0,
                    sem_op: by,
                    sem_flg: flags as i16,
                };
                let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
                outcome(semtimedop(set, &raw mut operation, 1, time))
            };
            let take = move |_| change(-1, libc::SEM_UNDO, None);
            let give = move || assert_eq!(change(3, 0, None), (0, None));
            assert_eq!(while_ticking(3, take, give), [(0, None); 3]);
            let soon = libc::timespec {
                tv_sec: 0,
                tv_nsec: 1_000_000,
            };
            let late = (-1, Some(libc::EAGAIN));
            assert_eq!(change(-1, 0, Some(soon)), late);
            assert_eq!(change(-1, libc::IPC_NOWAIT, None), late);
            libc::semctl(set, 0, libc::IPC_RMID);
        }
    });
}

#[test]
fn a_command_of_the_shell_parks_and_has_the_mask_of_its_caller() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let command = format!("read line </dev/fd/{}; exit 3", {
            // SAFETY: the descriptor is open.
            unsafe { libc::dup(reader.as_raw_fd()) }
        });
        let command = CString::new(command).unwrap();
        // SAFETY: the command is a C string.
        let run = move |_| unsafe { libc::system(command.as_ptr()) };
        let mut writer_of_line = writer.try_clone().unwrap();
        let release = move || writer_of_line.write_all(b"line\n").unwrap();
        let status = while_ticking(1, run, release);
        assert_eq!(status, [3 << 8]);
        let command = c"test $(sed -n 's/SigBlk:\\t//p' /proc/$$/status) = 0000000000000000";
        // SAFETY: the command is a C string.
        assert_eq!(unsafe { libc::system(command.as_ptr()) }, 0);
        drop((writer, &mut reader));
    });
}

#[test]
fn the_end_of_a_command_behind_a_stream_parks() {
    if !is_patched() {
        return;
    }
    within(|| {
        let close = |_| {
            // SAFETY: the texts are C strings, and the stream is open.
            unsafe {
                let stream = libc::popen(c"sleep 0.1; exit 4".as_ptr(), c"w".as_ptr());
                assert!(!stream.is_null());
                libc::pclose(stream)
            }
        };
        assert_eq!(while_ticking(3, close, || {}), [4 << 8; 3]);
    });
}

#[test]
fn asynchronous_input_and_output_is_waited_for_while_parked() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let fd = reader.as_raw_fd();
        let read = move |_| {
            let mut buffer = [0_u8; 4];
            // SAFETY: all zeros is a valid value, and the memory lives until the end.
            unsafe {
                let mut request: libc::aiocb = std::mem::zeroed();
                request.aio_fildes = fd;
                request.aio_buf = buffer.as_mut_ptr().cast();
                request.aio_nbytes = 4;
                assert_eq!(libc::aio_read(&raw mut request), 0);
                let list = [&raw const request];
                let soon = libc::timespec {
                    tv_sec: 0,
                    tv_nsec: 1000,
                };
                let late = outcome(libc::aio_suspend(list.as_ptr(), 1, &raw const soon));
                assert_eq!(late, (-1, Some(libc::EAGAIN)));
                assert_eq!(libc::aio_suspend(list.as_ptr(), 1, ptr::null()), 0);
                assert_eq!(libc::aio_error(&raw const request), 0);
                (libc::aio_return(&raw mut request), buffer)
            }
        };
        let release = move || writer.write_all(b"abcd").unwrap();
        assert_eq!(while_ticking(1, read, release), [(4, *b"abcd")]);
    });
}
