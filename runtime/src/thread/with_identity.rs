//! `with_identity`: runs a closure of a green thread that has no pthread identity on one that has.

use std::io;
use std::panic::resume_unwind;

use super::{Builder, scope};
use crate::green::SpawnSite;
use crate::sched;

/// Runs `f` on another green thread, with a pthread identity of its own, and joins that. It has the
/// name of the caller and a stack of the same size. Reports name `site` as its spawn site.
///
/// # Errors
///
/// Returns an error if identities do not work, or if no stack can be allocated.
pub(crate) fn with_identity<R>(site: SpawnSite, f: impl FnOnce() -> R) -> io::Result<R> {
    let me = sched::current().running();
    let mut builder = Builder::new().own_identity();
    builder.options.site = site;
    if let Some(name) = me.name() {
        builder = builder.name(name.to_owned());
    }
    if let Some(stack) = &me.stack {
        builder = builder.stack_size(stack.size());
    }
    scope(|s| match s.start(builder.options, f)?.join() {
        Ok(value) => Ok(value),
        Err(error) => resume_unwind(error.into()),
    })
}
