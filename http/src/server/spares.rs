//! `Spares`: what a connection needs only while it handles a request. Idle connections lend it to
//! the others, so a server needs as many as there are requests at a time.

use std::cell::RefCell;

use http::HeaderMap;

use crate::buffered::BufferedStream;

/// The number of spare parts of each kind that are kept.
const MAX_SPARES: usize = 32;

/// The largest capacity of a buffer of output that is kept.
const MAX_OUTPUT_BYTES: usize = 16 * 1024;

/// The largest capacity of a header map that is kept.
const MAX_HEADERS: usize = 64;

/// The spare parts of all connections of a server on one OS thread.
#[derive(Default)]
pub(super) struct Spares {
    inputs: RefCell<Vec<Vec<u8>>>,
    outputs: RefCell<Vec<Vec<u8>>>,
    headers: RefCell<Vec<HeaderMap>>,
}

impl Spares {
    /// Takes the buffers of a stream that has nothing in them.
    pub(super) fn take_buffers_of<S>(&self, stream: &mut BufferedStream<S>) {
        if let Some(input) = stream.take_input() {
            put(&self.inputs, input);
        }
        self.put_output(stream.take_output());
    }

    /// Gives a buffer for input to a stream that has none, if one is left.
    pub(super) fn give_input<S>(&self, stream: &mut BufferedStream<S>) {
        if !stream.has_input()
            && let Some(input) = self.inputs.borrow_mut().pop()
        {
            stream.set_input(input);
        }
    }

    /// Gives a buffer for output to a stream that has none, if one is left.
    pub(super) fn give_output<S>(&self, stream: &mut BufferedStream<S>) {
        if stream.output().capacity() == 0 {
            *stream.output() = self.output();
        }
    }

    /// Returns an empty buffer for output.
    pub(super) fn output(&self) -> Vec<u8> {
        self.outputs.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn put_output(&self, mut output: Vec<u8>) {
        if (1..=MAX_OUTPUT_BYTES).contains(&output.capacity()) {
            output.clear();
            put(&self.outputs, output);
        }
    }

    /// Returns an empty header map.
    pub(super) fn headers(&self) -> HeaderMap {
        self.headers.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn put_headers(&self, mut headers: HeaderMap) {
        // The values may run code of the program when they are dropped.
        headers.clear();
        if (1..=MAX_HEADERS).contains(&headers.capacity()) {
            put(&self.headers, headers);
        }
    }
}

fn put<T>(spares: &RefCell<Vec<T>>, spare: T) {
    let mut spares = spares.borrow_mut();
    if spares.len() < MAX_SPARES {
        spares.push(spare);
    }
}
