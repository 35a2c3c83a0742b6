//! `Limits`: how much a peer may send.

/// The largest number of headers that any setting allows: their table lies on the stack, 32 bytes
/// each.
pub(crate) const MAX_HEADERS: usize = 256;

/// The limits for one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The length of a request's target in bytes; `None` for a response, which has none.
    pub(crate) target: Option<usize>,
    /// The length of the head in bytes.
    pub(crate) head: usize,
    /// The number of headers.
    pub(crate) headers: usize,
    /// The length of the body in bytes.
    pub(crate) body: u64,
}
