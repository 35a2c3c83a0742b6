//! `Loads`: whether the dynamic loader has loaded another module.
//!
//! The loader counts its loads, and `dl_iterate_phdr` reports the number. That function takes a lock and
//! visits all modules, which is too much for each green thread. The counter itself is a word of
//! `_rtld_global`, the loader's state. Its place there differs between versions of glibc, so each word
//! that has the number is watched. One of them is the counter. Another one may change for another
//! reason, and then the modules are examined once more than necessary.

use std::ffi::c_void;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::glibc::symbol;

/// The loads up to some moment.
#[derive(Debug, Default)]
pub(super) struct Loads {
    number: u64,
    counters: Vec<&'static AtomicU64>,
}

impl Loads {
    /// Finds the counter, whose value is `number`. It does not change meanwhile.
    pub(super) fn find(number: u64) -> Self {
        let words = loader_state();
        // The first words count the modules of the program, with those that were unloaded left out.
        let others = words.get(NAMESPACE_WORDS..).unwrap_or(&[]);
        let has_number = |word: &&AtomicU64| word.load(Relaxed) == number;
        Self {
            number,
            counters: others.iter().filter(has_number).collect(),
        }
    }

    /// Whether no module has been loaded since. Always `false` if the counter is unknown.
    #[inline]
    pub(super) fn are_all(&self) -> bool {
        !self.counters.is_empty() && !self.have_changed()
    }

    /// Whether a counter shows that a module has been loaded since.
    #[inline]
    pub(super) fn have_changed(&self) -> bool {
        let has_changed = |counter: &&AtomicU64| counter.load(Relaxed) != self.number;
        self.counters.iter().any(has_changed)
    }
}

/// The number of words before which the counter never is: those about the program's modules.
const NAMESPACE_WORDS: usize = 2;

/// Returns the words of `_rtld_global`. None if this version of glibc has no such object.
fn loader_state() -> &'static [AtomicU64] {
    static WORDS: OnceLock<&[AtomicU64]> = OnceLock::new();
    WORDS.get_or_init(|| {
        let Some(start) = symbol(c"_rtld_global") else {
            return &[];
        };
        let len = size_of_object(start.as_ptr()) / size_of::<AtomicU64>();
        // SAFETY: the object has as many bytes, and is never unloaded. The loader changes its words
        // whole.
        unsafe { std::slice::from_raw_parts(start.as_ptr().cast(), len) }
    })
}

/// Returns the size that the symbol of an object says. Zero if it has no symbol.
fn size_of_object(object: *const c_void) -> usize {
    const RTLD_DL_SYMENT: i32 = 1;
    unsafe extern "C" {
        fn dladdr1(
            address: *const c_void,
            info: *mut libc::Dl_info,
            extra: *mut *mut c_void,
            flags: i32,
        ) -> i32;
    }
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
    let mut found: *mut c_void = ptr::null_mut();
    // SAFETY: the pointers are valid. The result is null or a symbol of the module.
    unsafe {
        dladdr1(object, info.as_mut_ptr(), &raw mut found, RTLD_DL_SYMENT);
        let symbol = found.cast::<libc::Elf64_Sym>().as_ref();
        symbol.map_or(0, |symbol| symbol.st_size as usize)
    }
}
