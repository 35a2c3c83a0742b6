//! The initial values of thread locals.
//!
//! A renewed identity must not show the next green thread what an earlier one has left in a thread
//! local. The thread locals of libc and of the dynamic loader are left alone: they hold what those
//! keep for a thread, such as its cache of the allocator.

use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;
use std::sync::Mutex;

use super::machine::ThreadPointer;
use crate::primitive::lock;

/// The initial values of the thread locals of one module.
#[derive(Clone, Copy, Debug)]
struct Image {
    initialized: *const u8,
    initialized_len: usize,
    len: usize,
}

/// What is known of the modules of the process.
#[derive(Debug)]
struct Modules {
    /// How many had been loaded and unloaded when they were examined.
    generation: (u64, u64),
    /// Those whose thread locals have the same place in each thread, relative to the thread pointer.
    with_static_place: Vec<(isize, Image)>,
    /// Whether the thread locals of some module have a place that differs from thread to thread.
    any_other: bool,
}

// SAFETY: the pointers lead to constant data of modules, which is only read.
unsafe impl Send for Modules {}

static MODULES: Mutex<Modules> = Mutex::new(Modules {
    generation: (0, 0),
    with_static_place: Vec::new(),
    any_other: false,
});

/// Gives the thread locals of the current thread their initial values.
///
/// # Safety
///
/// - `thread_pointer` is the current one. The static area of its thread lies in `area`.
/// - Nothing refers to the values.
pub(super) unsafe fn copy_to(thread_pointer: ThreadPointer, area: Range<usize>) {
    let mut modules = lock(&MODULES);
    if modules.generation != generation() {
        modules.examine(thread_pointer, &area);
    }
    for (offset, image) in &modules.with_static_place {
        // SAFETY: glibc has reserved this place in each thread, and nothing refers to it (caller).
        unsafe { image.copy_to(thread_pointer.at(*offset)) };
    }
    if modules.any_other {
        for_each_module(|_, place, image| {
            if !place.is_null() && !area.contains(&place.addr()) {
                // SAFETY: this is the place for the current thread, and nothing refers to it (caller).
                unsafe { image.copy_to(place) };
            }
        });
    }
}

impl Image {
    unsafe fn copy_to(self, place: *mut u8) {
        // SAFETY: the place has `len` bytes (caller).
        unsafe {
            place.copy_from_nonoverlapping(self.initialized, self.initialized_len);
            let zeroed = self.len - self.initialized_len;
            place.add(self.initialized_len).write_bytes(0, zeroed);
        }
    }
}

impl Modules {
    fn examine(&mut self, thread_pointer: ThreadPointer, area: &Range<usize>) {
        self.with_static_place.clear();
        self.any_other = false;
        for_each_module(|generation, place, image| {
            self.generation = generation;
            if area.contains(&place.addr()) {
                let offset = thread_pointer.offset_of(place);
                self.with_static_place.push((offset, image));
            } else {
                self.any_other = true;
            }
        });
    }
}

/// Returns how many modules have been loaded and unloaded.
fn generation() -> (u64, u64) {
    let mut found = (0, 0);
    iterate(&mut |info| {
        found = (info.dlpi_adds, info.dlpi_subs);
        1
    });
    found
}

/// Calls `f` for each module that has thread locals, except those of the C library, with the place of
/// its thread locals in the current thread. The place is null if it has none yet.
fn for_each_module(mut f: impl FnMut((u64, u64), *mut u8, Image)) {
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
            let generation = (info.dlpi_adds, info.dlpi_subs);
            f(generation, info.dlpi_tls_data.cast(), image);
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
