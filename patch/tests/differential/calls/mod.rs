//! The calls, with arguments of all kinds.

use crate::round::Round;

/// Makes a call of C, and notes its result.
macro_rules! call {
    ($round:ident, $text:expr, $call:expr) => {
        // SAFETY: the kernel checks the arguments, or they are valid.
        $round.call(&$text, || unsafe { $call } as i64)
    };
}

mod objects;
mod others;
mod sockets;
mod transfers;
mod waits;

/// Makes a random call.
pub(crate) fn make(round: &mut Round) {
    use {objects::*, others::*, sockets::*, transfers::*, waits::*};
    const CALLS: &[fn(&mut Round)] = &[
        read, read, write, write, parts, parts, receive, receive, send, send, message, message,
        messages, accept, connect, poll, poll, select, epoll, splice, splice, sendfile, map, lock,
        sleep, wait, signal, names, close, mutex, rwlock, semaphore, thread,
    ];
    round.random.choose(CALLS)(round);
}
