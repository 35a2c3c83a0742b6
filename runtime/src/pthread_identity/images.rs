//! The initial values of thread locals.
//!
//! A renewed identity must not show the next green thread what an earlier one has left in a thread
//! local. The thread locals of libc and of the dynamic loader are left alone: they hold what those
//! keep for a thread, such as its cache of the allocator.
//!
//! The thread locals of most modules have the same place in all threads, relative to the thread
//! pointer. Copies of their initial values are kept, until the loader loads another module
//! ([`loads`](super::loads)). A module that is unloaded needs no notice: its place stays free until
//! then. The places are found out on a new OS thread. On an older one, the loader does not know those
//! of a module that was loaded later, although the program uses them.
//!
//! The thread locals of some modules that `dlopen` loads have a place of their own in each thread.
//! While there is such a module, the loader is asked each time.

use std::cell::RefCell;
use std::ffi::{CStr, c_int, c_void};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::{Arc, Mutex};

use super::birth::with_signals_blocked;
use super::dtv::Dtv;
use super::loads::Loads;
use super::machine::ThreadPointer;
use crate::primitive::lock;
use crate::unhooked::unhooked;

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

/// The thread locals of all modules, for as long as no further module is loaded.
#[derive(Debug)]
struct Known {
    loads: Loads,
    /// Copies of the initial values of those whose places are alike, relative to the thread pointer.
    alike: Vec<(isize, Box<[u8]>)>,
    /// Whether there are others.
    has_others: bool,
}

/// What an identity knows of the modules of the process.
#[derive(Debug)]
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
            *known = find(area.len());
        }
        if let Some(known) = &*known {
            // SAFETY: glibc has reserved these places in each thread, and nothing refers to them
            // (caller).
            unsafe { known.copy_to(thread_pointer) };
        }
        if known.as_ref().is_none_or(|known| known.has_others) {
            for_each_module(|_, place, image| {
                if !place.is_null() && (known.is_none() || !area.contains(&place.addr())) {
                    // SAFETY: this is the place for the current thread, and nothing refers to it
                    // (caller).
                    unsafe { image.copy_to(place) };
                }
            });
        }
    }

    /// Gives back what it owns.
    pub(super) fn clear(&self) {
        self.0.take();
    }
}

/// Returns what is known, or finds it out. Returns `None` if the system cannot create an OS thread.
#[cold]
fn find(area: usize) -> Option<Arc<Known>> {
    let mut newest = lock(&NEWEST);
    if !newest.as_ref().is_some_and(|known| known.loads.are_all()) {
        let mut found = None;
        let before = count_loads();
        on_new_thread(&mut || found = Some(Known::examine(area, before)));
        *newest = found.map(Arc::new);
    }
    newest.clone()
}

impl Known {
    /// Examines the modules. The calling thread is younger than the first `loads` loads, of which the
    /// last may not be finished. If it is not, or if there are later ones, the modules are examined again
    /// next time.
    fn examine(area: usize, loads: u64) -> Self {
        let thread_pointer = ThreadPointer::current();
        let mut known = Self {
            loads: Loads::default(),
            alike: Vec::new(),
            has_others: false,
        };
        let table = Dtv::current();
        let mut is_first = true;
        let (mut is_known_table, mut is_loading) = (true, false);
        for_each_module(|info, place, image| {
            // No module is added meanwhile, because the loader holds its lock.
            if is_first && info.dlpi_adds == loads {
                known.loads = Loads::find(loads);
            }
            is_first = false;
            // SAFETY: the table is that of this thread, and the C library has no thread locals but those
            // that it was created with.
            match unsafe { table.place(info.dlpi_tls_modid) } {
                Some(known) => is_known_table &= place.is_null() || place.addr() == known,
                None => is_loading = true,
            }
            if place.is_null() || thread_pointer.offset_of(place).unsigned_abs() > area {
                known.has_others = true;
                return;
            }
            let mut bytes = vec![0; image.len].into_boxed_slice();
            // SAFETY: the copy has as many bytes, and the module is loaded.
            unsafe { image.copy_to(bytes.as_mut_ptr()) };
            known.alike.push((thread_pointer.offset_of(place), bytes));
        });
        if is_known_table && is_loading {
            known.loads = Loads::default();
        }
        known
    }

    /// # Safety
    ///
    /// As for [`Images::copy_to`].
    unsafe fn copy_to(&self, thread_pointer: ThreadPointer) {
        for (offset, bytes) in &self.alike {
            let place = thread_pointer.at::<u8>(*offset);
            // SAFETY: the place has as many bytes (caller).
            unsafe { place.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        }
    }
}

/// Runs `f`, which does not panic, on a new OS thread, if the system can create one.
fn on_new_thread(f: &mut dyn FnMut()) {
    extern "C" fn run(f: *mut c_void) -> *mut c_void {
        // SAFETY: the pointer given below, which is valid until the end of this thread is joined.
        unsafe { (*f.cast::<&mut dyn FnMut()>())() };
        ptr::null_mut()
    }
    let mut f = f;
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    let f = (&raw mut f).cast();
    // SAFETY: the pointers are valid, and the thread is joined. No hook may park meanwhile.
    unhooked(|| unsafe {
        let created =
            with_signals_blocked(|| libc::pthread_create(thread.as_mut_ptr(), ptr::null(), run, f));
        if created == 0 {
            libc::pthread_join(thread.assume_init(), ptr::null_mut());
        }
    });
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
        // The loader gives an empty one no number.
        let mut headers = headers.iter();
        let tls = headers.find(|header| header.p_type == libc::PT_TLS && header.p_memsz > 0);
        if let Some(tls) = tls {
            let address = (info.dlpi_addr + tls.p_vaddr) as usize;
            let image = Image {
                initialized: ptr::with_exposed_provenance(address),
                initialized_len: tls.p_filesz as usize,
                len: tls.p_memsz as usize,
            };
            f(info, info.dlpi_tls_data.cast(), image);
        }
        0
    });
}

/// Returns the number of modules that the loader has begun to load.
fn count_loads() -> u64 {
    let mut loads = 0;
    iterate(&mut |info| {
        loads = info.dlpi_adds;
        1
    });
    loads
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
