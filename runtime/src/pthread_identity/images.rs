//! The initial values of thread locals.
//!
//! A renewed identity must not show the next green thread what an earlier one has left in a thread
//! local. The thread locals of libc and of the dynamic loader are left alone: they hold what those
//! keep for a thread, such as its cache of the allocator.
//!
//! Usually, the thread locals of each module have the same place in all threads, relative to the
//! thread pointer. Then copies of the initial values are kept, until the loader loads another module
//! ([`loads`](super::loads)). A module that is unloaded needs no notice: its place is free until another one
//! is loaded.
//!
//! The thread locals of some modules that `dlopen` loads have a place of their own in each thread.
//! While there is such a module, the loader is asked each time.

use std::cell::RefCell;
use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use super::loads::Loads;
use super::machine::ThreadPointer;
use crate::primitive::lock;

/// The initial values of the thread locals of one module.
#[derive(Clone, Copy, Debug)]
struct Image {
    initialized: *const u8,
    initialized_len: usize,
    len: usize,
}

impl Image {
    /// # Safety
    ///
    /// `place` has `len` bytes, and nothing refers to them.
    unsafe fn copy_to(self, place: *mut u8) {
        // SAFETY: the place has `len` bytes (caller), and the loader has not unloaded the module.
        unsafe {
            place.copy_from_nonoverlapping(self.initialized, self.initialized_len);
            let zeroed = self.len - self.initialized_len;
            place.add(self.initialized_len).write_bytes(0, zeroed);
        }
    }
}

/// Copies of the initial values of all thread locals, for as long as no further module is loaded.
#[derive(Debug)]
struct Known {
    loads: Loads,
    /// The places are relative to the thread pointer.
    images: Vec<(isize, Box<[u8]>)>,
}

/// What an identity knows of the modules of the process.
#[derive(Debug, Default)]
pub(super) struct Images(RefCell<Option<Arc<Known>>>);

/// What was found out last. All identities share it.
static NEWEST: Mutex<Option<Arc<Known>>> = Mutex::new(None);

impl Images {
    pub(super) const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// Gives the thread locals of the current thread their initial values.
    ///
    /// # Safety
    ///
    /// - `thread_pointer` is the current one. The static area of its thread lies in `area`.
    /// - Nothing refers to the values.
    pub(super) unsafe fn copy_to(&self, thread_pointer: ThreadPointer, area: Range<usize>) {
        let mut known = self.0.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.loads.are_all()) {
            *known = find(thread_pointer, &area);
        }
        match &*known {
            // SAFETY: glibc has reserved these places in each thread, and nothing refers to them
            // (caller).
            Some(known) => unsafe { known.copy_to(thread_pointer) },
            None => for_each_module(|_, place, image| {
                if !place.is_null() {
                    // SAFETY: this is the place for the current thread, and nothing refers to it
                    // (caller).
                    unsafe { image.copy_to(place) };
                }
            }),
        }
    }

    /// Gives back what it owns.
    pub(super) fn clear(&self) {
        self.0.take();
    }
}

/// Returns the images of all modules, unless some have a place that differs from thread to thread, or
/// the loads cannot be watched.
#[cold]
fn find(thread_pointer: ThreadPointer, area: &Range<usize>) -> Option<Arc<Known>> {
    let mut newest = lock(&NEWEST);
    if !newest.as_ref().is_some_and(|known| known.loads.are_all()) {
        *newest = Known::examine(thread_pointer, area).map(Arc::new);
    }
    newest.clone()
}

impl Known {
    fn examine(thread_pointer: ThreadPointer, area: &Range<usize>) -> Option<Self> {
        let mut known = Self {
            loads: Loads::default(),
            images: Vec::new(),
        };
        let mut are_alike = true;
        for_each_module(|info, place, image| {
            // No module is added meanwhile, because the loader holds its lock.
            if known.images.is_empty() {
                known.loads = Loads::find(info.dlpi_adds);
            }
            // A module that is being loaded has no place yet, and its image may still change.
            are_alike &= area.contains(&place.addr());
            let mut bytes = vec![0; image.len].into_boxed_slice();
            // SAFETY: the copy has as many bytes, and the module is loaded.
            unsafe { image.copy_to(bytes.as_mut_ptr()) };
            known.images.push((thread_pointer.offset_of(place), bytes));
        });
        (are_alike && known.loads.are_all()).then_some(known)
    }

    /// # Safety
    ///
    /// As for [`Images::copy_to`].
    unsafe fn copy_to(&self, thread_pointer: ThreadPointer) {
        for (offset, bytes) in &self.images {
            // SAFETY: the place has as many bytes (caller).
            unsafe {
                thread_pointer
                    .at::<u8>(*offset)
                    .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            }
        }
    }
}

/// Calls `f` for each module that has thread locals, except those of the C library, with the place of
/// its thread locals in the current thread. The place is null if it has none yet.
fn for_each_module(mut f: impl FnMut(&libc::dl_phdr_info, *mut u8, Image)) {
    iterate(&mut |info| {
        if is_of_libc(info) {
            return 0;
        }
        // SAFETY: the loader describes a module that is loaded.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
        let tls = headers.iter().find(|header| header.p_type == libc::PT_TLS);
        if let Some(tls) = tls {
            let address = (info.dlpi_addr + tls.p_vaddr) as usize;
            let image = Image {
                initialized: std::ptr::with_exposed_provenance(address),
                initialized_len: tls.p_filesz as usize,
                len: tls.p_memsz as usize,
            };
            f(info, info.dlpi_tls_data.cast(), image);
        }
        0
    });
}
/// Calls `f` for each module, until it does not return zero.
fn iterate(f: &mut dyn FnMut(&libc::dl_phdr_info) -> c_int) {
    type Callback<'a> = &'a mut dyn FnMut(&libc::dl_phdr_info) -> c_int;
    unsafe extern "C" fn call(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        f: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader passes valid information, and `f` is the pointer that is given below.
        unsafe { (*f.cast::<Callback<'_>>())(&*info) }
    }
    let mut f: Callback<'_> = f;
    // SAFETY: `call` accepts what the loader calls it with, and unwinds into no frame of C: the
    // callbacks above do not panic.
    unsafe { libc::dl_iterate_phdr(Some(call), (&raw mut f).cast()) };
}

fn is_of_libc(info: &libc::dl_phdr_info) -> bool {
    if info.dlpi_name.is_null() {
        return false;
    }
    // SAFETY: the name is a C string.
    let name = unsafe { CStr::from_ptr(info.dlpi_name) }.to_bytes();
    let file = name.rsplit(|byte| *byte == b'/').next().unwrap_or(name);
    file.starts_with(b"libc.so") || file.starts_with(b"ld-linux")
}
