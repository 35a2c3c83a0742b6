//! `StackRequest`: the stack that a spawn asks for.

use super::DEFAULT_SIZE;

/// A size in bytes, and whether the stack is to have a pthread identity.
///
/// It is one word, because every spawn copies it, and so that one comparison finds the usual request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StackRequest(usize);

/// The bit for an identity. No stack is as large.
const WITH_IDENTITY: usize = 1 << (usize::BITS - 1);

impl StackRequest {
    /// The usual request: the default size, and no identity.
    pub(crate) const DEFAULT: Self = Self(DEFAULT_SIZE);

    /// Returns the request for another size.
    pub(crate) fn with_size(self, size: usize) -> Self {
        Self(size.min(WITH_IDENTITY - 1) | self.0 & WITH_IDENTITY)
    }

    /// Returns the request for a stack that has an identity.
    pub(crate) fn with_identity(self) -> Self {
        Self(self.0 | WITH_IDENTITY)
    }

    pub(crate) fn size(self) -> usize {
        self.0 & !WITH_IDENTITY
    }

    pub(crate) fn has_identity(self) -> bool {
        self.0 & WITH_IDENTITY != 0
    }

    /// Returns the request as a word, which is unique.
    #[inline(always)]
    pub(crate) const fn word(self) -> usize {
        self.0
    }
}
