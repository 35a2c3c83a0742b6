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
//! Other modules that `dlopen` loads get a block in each thread, at the first access
//! ([`blocks`](super::blocks)).

use std::cell::RefCell;
use std::ffi::{CStr, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Arc, Mutex};

use super::birth::with_signals_blocked;
use super::blocks;
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
    /// The modules that there were.
    modules: Modules,
}

/// How many modules have been loaded, and how many unloaded.
type Modules = (u64, u64);

/// What an identity knows of the modules of the process.
#[derive(Debug)]
pub(super) struct Images(RefCell<Option<Arc<Known>>>);

/// What was found out last. All identities share it.
static NEWEST: Mutex<Option<Arc<Known>>> = Mutex::new(None);

impl Images {
    pub(super) const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// Gives the thread locals of an identity their initial values.
    ///
    /// # Safety
    ///
    /// - `thread_pointer` is that of the identity, and not the current one. Its static area has at most
    ///   `area` bytes.
    /// - Nothing refers to the values.
    pub(super) unsafe fn copy_to(&self, thread_pointer: ThreadPointer, area: usize) {
        // SAFETY: as here (caller).
        unsafe { blocks::free_all(thread_pointer) };
        let mut known = self.0.borrow_mut();
        loop {
            if !known.as_ref().is_some_and(|known| known.loads.are_all()) {
                *known = find(area);
            }
            // Without an OS thread to find it out, the values stay as they are.
            let Some(known) = &*known else { return };
            // SAFETY: glibc has reserved these places in each thread, and nothing refers to them (caller).
            unsafe { known.copy_to(thread_pointer) };
            // A module that was loaded meanwhile may have got the place of one that was unloaded
            // before, and lost what the loader has written there.
            if !known.loads.have_changed() {
                return;
            }
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
    while !newest.as_ref().is_some_and(|known| known.loads.are_all()) {
        let before = modules();
        let mut found = None;
        on_new_thread(&mut || found = Some(Known::examine(area)));
        *newest = Some(Arc::new(found?));
        // A module that was loaded since the OS thread began may have the number of another one, which
        // was unloaded. Then the OS thread knows the place of the latter.
        if newest.as_ref().is_some_and(|known| known.modules == before) {
            break;
        }
        *newest = None;
    }
    newest.clone()
}

/// Returns how many modules have been loaded and unloaded.
fn modules() -> Modules {
    let mut modules = (0, 0);
    iterate(&mut |info| {
        modules = (info.dlpi_adds, info.dlpi_subs);
        1
    });
    modules
}

impl Known {
    /// Examines the modules. The calling thread is younger than each of them, but for those that are
    /// being loaded. While there are such modules, the next identity examines them all again.
    fn examine(area: usize) -> Self {
        let thread_pointer = ThreadPointer::current();
        let mut known = Self {
            loads: Loads::default(),
            alike: Vec::new(),
            modules: (0, 0),
        };
        let (mut is_first, mut is_loading) = (true, false);
        for_each_module(|info, place, image| {
            // No module is added meanwhile, because the loader holds its lock.
            if is_first {
                known.loads = Loads::find(info.dlpi_adds);
                known.modules = (info.dlpi_adds, info.dlpi_subs);
            }
            is_first = false;
            // SAFETY: it is the current one.
            is_loading |= !unsafe { blocks::has_entry(thread_pointer, info.dlpi_tls_modid) };
            if place.is_null() || thread_pointer.offset_of(place).unsigned_abs() > area {
                return;
            }
            let mut bytes = vec![0; image.len].into_boxed_slice();
            // SAFETY: the copy has as many bytes, and the module is loaded.
            unsafe { image.copy_to(bytes.as_mut_ptr()) };
            known.alike.push((thread_pointer.offset_of(place), bytes));
        });
        if is_loading {
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

/// Checks the format of the tables of blocks, by what they say of the C library, whose thread locals are
/// in the static area.
pub(super) fn check_blocks() -> bool {
    let thread_pointer = ThreadPointer::current();
    let mut is_known = false;
    iterate(&mut |info| {
        let place = info.dlpi_tls_data.cast();
        if is_of_libc(info) && info.dlpi_tls_modid != 0 {
            // SAFETY: it is the current one.
            is_known = unsafe { blocks::has_static(thread_pointer, info.dlpi_tls_modid, place) };
        }
        0
    });
    is_known
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
