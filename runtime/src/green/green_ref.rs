//! `GreenRef`: a reference to a live green thread.

use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::Arc;

use super::cold::ColdState;
use super::green_thread::GreenThread;
use super::remote::{RemoteHandle, SchedulerHandle};
use crate::context::Context;

/// A reference to a live green thread of the current OS thread: `[live-ref]`, `[owner-thread]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GreenRef(NonNull<GreenThread>);

impl GreenRef {
    /// # Safety
    ///
    /// The control block is pinned, and the holder of the reference keeps `[live-ref]`.
    pub(crate) unsafe fn new(green: NonNull<GreenThread>) -> Self {
        Self(green)
    }

    pub(crate) fn as_ptr(self) -> *mut GreenThread {
        self.0.as_ptr()
    }

    pub(crate) fn as_non_null(self) -> NonNull<GreenThread> {
        self.0
    }

    /// Returns the green thread that `context` belongs to.
    ///
    /// # Safety
    ///
    /// `context` came from [`Self::context`]. The holder of the reference keeps `[live-ref]`.
    #[inline(always)]
    pub(crate) unsafe fn of_context(context: *mut Context) -> Self {
        const { assert!(std::mem::offset_of!(GreenThread, context) == 0) };
        // SAFETY: it is the first field of a control block (caller), so it is not null.
        Self(unsafe { NonNull::new_unchecked(context.cast()) })
    }

    /// Returns the context, for the switch.
    pub(crate) fn context(self) -> *mut Context {
        // Derived from the pointer to the whole block, to which `of_context` goes back.
        // SAFETY: live ([live-ref]); no reference is created.
        unsafe { UnsafeCell::raw_get(&raw const (*self.0.as_ptr()).context) }
    }

    /// Returns the handle that other OS threads hold of this green thread, creating it if
    /// necessary.
    pub(crate) fn remote_handle(self, scheduler: &Arc<SchedulerHandle>) -> Arc<RemoteHandle> {
        let cell = &self.remote_handle;
        let handle = cell.take().unwrap_or_else(|| {
            let address = self.as_ptr().cast();
            let name = self.name().map(Box::from);
            let scheduler = Arc::clone(scheduler);
            Arc::new(RemoteHandle::new(self.identity(), name, scheduler, address))
        });
        let clone = Arc::clone(&handle);
        cell.set(Some(handle));
        clone
    }

    /// Returns the green thread of a remote handle, or `None` if it has ended.
    ///
    /// # Safety
    ///
    /// The caller runs on the OS thread that owns the green thread.
    pub(crate) unsafe fn of_remote(handle: &RemoteHandle) -> Option<Self> {
        // `remote_handle` stored the address of a control block, and the owner, which runs here
        // (caller), clears it before the green thread is done ([live-ref] 4).
        handle.address().map(|address| Self(address.cast()))
    }

    /// Takes the cold state out of a green thread that finishes.
    ///
    /// # Safety
    ///
    /// No reference to the cold state exists.
    pub(crate) unsafe fn take_cold(self) -> Option<Box<ColdState>> {
        // SAFETY: live ([live-ref]); the reference to this one field is the only one (caller).
        unsafe { (*self.as_ptr()).cold.take() }
    }
}

impl std::ops::Deref for GreenRef {
    type Target = GreenThread;

    #[inline(always)]
    fn deref(&self) -> &GreenThread {
        // SAFETY: live ([live-ref]) and only ever shared: every field that changes is a cell.
        unsafe { self.0.as_ref() }
    }
}
