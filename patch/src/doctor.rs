//! `doctor`: whether blocking calls are patched in this program, and if not, why.

use std::fmt;

use evy_runtime::lowlevel::hooks;

use crate::Categories;

/// What [`doctor`] has found. Its `Display` is a text for people.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The categories that are patched for the process.
    pub patched: Categories,
    /// Why green threads cannot have identities of their own, if they cannot.
    pub no_identities: Option<String>,
}

/// Finds out whether blocking calls can be patched in this program, and which are.
#[must_use]
pub fn doctor() -> Report {
    Report {
        patched: Categories::empty(),
        no_identities: hooks::check_identities()
            .err()
            .map(|error| error.to_string()),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "patched: {:?}", self.patched)
    }
}
