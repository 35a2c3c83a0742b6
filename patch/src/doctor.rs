//! `doctor`: whether blocking calls are patched in this program, and if not, why.

use std::ffi::CStr;
use std::fmt;

use evy_runtime::lowlevel::hooks;

use crate::{Categories, state};

/// What [`doctor`] has found out. Its `Display` is a text of several lines.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The categories that are patched for the process.
    pub patched: Categories,
    /// The version of glibc, if the program uses it.
    pub glibc: Option<String>,
    /// Why green threads cannot have pthread identities of their own, if they cannot.
    pub no_identities: Option<String>,
    /// The functions whose calls do not reach this crate, because another definition precedes. Where the
    /// crate is empty, there are none, and `no_identities` has the reason.
    pub unreached: Vec<String>,
    /// Calls that are never patched, and that green threads have made. Each has blocked its OS thread.
    pub unpatched: Vec<String>,
    /// Why calls of the running green thread are not patched, if they are not.
    pub not_here: Option<&'static str>,
}

/// Finds out whether blocking calls can be patched in this program, and which are.
///
/// # Examples
///
/// ```
/// println!("{}", evy::patch::doctor());
/// ```
#[must_use]
pub fn doctor() -> Report {
    Report {
        patched: state::categories(),
        glibc: glibc_version(),
        no_identities: hooks::check_identities()
            .err()
            .map(|error| error.to_string()),
        unreached: unreached(),
        unpatched: unpatched(),
        not_here: state::why_not_here(),
    }
}

#[cfg(evy_hooks)]
fn unreached() -> Vec<String> {
    crate::hooks::unreached()
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

#[cfg(not(evy_hooks))]
fn unreached() -> Vec<String> {
    Vec::new()
}

#[cfg(evy_hooks)]
fn unpatched() -> Vec<String> {
    crate::hooks::unpatched::names()
        .map(str::to_owned)
        .collect()
}

#[cfg(not(evy_hooks))]
fn unpatched() -> Vec<String> {
    Vec::new()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn glibc_version() -> Option<String> {
    // SAFETY: the function returns a static C string.
    let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
    Some(version.to_string_lossy().into_owned())
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn glibc_version() -> Option<String> {
    let _: Option<&CStr> = None;
    None
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let categories: Vec<_> = self.patched.iter_names().map(|(name, _)| name).collect();
        match categories.is_empty() {
            true => writeln!(f, "patched for the process: nothing")?,
            false => writeln!(f, "patched for the process: {}", categories.join(", "))?,
        }
        match self.not_here {
            Some(reason) => writeln!(f, "patched for this green thread: no: {reason}")?,
            None => writeln!(f, "patched for this green thread: yes")?,
        }
        match &self.glibc {
            Some(version) => writeln!(f, "C library: glibc {version}")?,
            None => writeln!(f, "C library: not glibc")?,
        }
        match &self.no_identities {
            Some(reason) => writeln!(f, "pthread identities: {reason}")?,
            None => writeln!(f, "pthread identities: work, all facts of glibc verified")?,
        }
        if !self.unpatched.is_empty() {
            writeln!(f, "calls that have blocked: {}", self.unpatched.join(", "))?;
        }
        if cfg!(not(evy_hooks)) {
            write!(f, "hooks: there are none in this program")
        } else if self.unreached.is_empty() {
            write!(f, "hooks: reached by all calls")
        } else {
            write!(f, "hooks: not reached by {}", self.unreached.join(", "))
        }
    }
}
