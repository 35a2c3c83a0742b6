//! Signals, as the crate signal-hook hands them on.

use std::ffi::c_int;
use std::thread::sleep;

use evy::thread::JoinHandle;
use signal_hook::consts::{SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use crate::{WAIT, at_once, patched};

/// Sends a signal to this OS thread from time to time, until it is killed.
pub(crate) fn send(signal: c_int) -> JoinHandle<()> {
    // Without a handler, the signal would end the process.
    drop(Signals::new([signal]).unwrap());
    evy::spawn(move || {
        loop {
            evy::sleep(WAIT);
            signal_hook::low_level::raise(signal).unwrap();
        }
    })
}

#[test]
fn ten_green_threads_wait_for_a_signal() {
    patched(|| {
        let sender = send(SIGUSR1);
        let seen = at_once(10, |_| {
            let mut signals = Signals::new([SIGUSR1, SIGUSR2]).unwrap();
            signals.forever().next()
        });
        assert_eq!(seen, [Some(SIGUSR1); 10]);
        sender.kill();
    });
}

#[test]
fn a_handle_ends_the_wait_for_a_signal() {
    patched(|| {
        let seen = at_once(10, |_| {
            let mut signals = Signals::new([SIGUSR2]).unwrap();
            let handle = signals.handle();
            let closer = evy::spawn(move || {
                sleep(WAIT);
                handle.close();
            });
            let seen = signals.forever().next();
            closer.join().unwrap();
            seen
        });
        assert_eq!(seen, [None; 10]);
    });
}
