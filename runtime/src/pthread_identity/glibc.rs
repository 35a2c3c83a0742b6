//! What identities rely on in glibc beyond its documentation, found out at first use.

use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI32, AtomicUsize};

use super::machine::ThreadPointer;
use super::{FIRST_ID, robust, trial};

/// The maximum number of POSIX keys, and the number of rounds in which their destructors run. Both
/// have been part of glibc's ABI since the beginning.
const KEYS: libc::pthread_key_t = 1024;
const DESTRUCTOR_ROUNDS: usize = 4;

/// The facts. The offsets are relative to the thread pointer.
#[derive(Debug)]
pub(super) struct Glibc {
    /// The id of the thread in `struct pthread`.
    pub(super) id_offset: isize,
    /// The beginning of `struct pthread`, to which a `pthread_t` points.
    begin: isize,
    /// The area of restartable sequences, if glibc registers one.
    pub(super) rseq_offset: Option<isize>,
    /// The list of the robust mutexes that the thread holds.
    pub(super) robust_offset: Option<isize>,
    /// The number of bytes that an identity occupies.
    pub(super) area: usize,
    call_tls_dtors: unsafe extern "C" fn(),
    keys: *const Key,
}

// SAFETY: `keys` points to a static of glibc, which other threads access too.
unsafe impl Send for Glibc {}
// SAFETY: as above.
unsafe impl Sync for Glibc {}

/// An entry of `__pthread_keys`, which debuggers read too (`libthread_db`).
#[repr(C)]
struct Key {
    generation: AtomicUsize,
    destructor: Option<unsafe extern "C" fn(*mut c_void)>,
}

static FACTS: OnceLock<Result<Glibc, String>> = OnceLock::new();

/// Returns the facts, which the first call finds out.
///
/// # Errors
///
/// Returns `Unsupported` if one of them does not hold.
pub(super) fn facts() -> io::Result<&'static Glibc> {
    match FACTS.get_or_init(|| trial::run().map_err(|error| error.to_string())) {
        Ok(facts) => Ok(facts),
        Err(reason) => Err(io::Error::new(io::ErrorKind::Unsupported, reason.as_str())),
    }
}

/// Whether `thread` is the pthread of an identity.
///
/// # Safety
///
/// The program has not joined it.
pub(crate) unsafe fn is_identity(thread: libc::pthread_t) -> bool {
    // Before all facts are known, there are no identities.
    let Some(Ok(facts)) = FACTS.get() else {
        return false;
    };
    let begin = ptr::with_exposed_provenance::<AtomicI32>(thread as usize);
    // SAFETY: the word is part of `struct pthread`, which is valid until the join (caller).
    let id = unsafe { &*begin.byte_offset(facts.id_offset - facts.begin) };
    id.load(Relaxed) >= FIRST_ID
}

/// Returns the error for a glibc in which `fact` does not hold.
pub(super) fn unknown(fact: &str) -> io::Error {
    unsupported(&format!("this version of glibc lacks {fact}"))
}

/// Returns the error for a system on which a green thread cannot have an identity.
pub(super) fn unsupported(reason: &str) -> io::Error {
    let message = format!("a green thread cannot have an identity of its own here: {reason}");
    io::Error::new(io::ErrorKind::Unsupported, message)
}

/// Returns the address of a symbol of the program or its libraries.
pub(super) fn symbol(name: &CStr) -> Option<ptr::NonNull<c_void>> {
    // SAFETY: the name is a C string.
    ptr::NonNull::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) })
}

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
    fn pthread_setcanceltype(kind: c_int, old: *mut c_int) -> c_int;
}

/// Resets what the calling thread has set in glibc's own thread locals, to what a new thread has.
///
/// # Safety
///
/// No code of the program runs on this thread any more.
pub(super) unsafe fn reset_settings() {
    const PTHREAD_CANCEL_ENABLE: c_int = 0;
    const PTHREAD_CANCEL_DEFERRED: c_int = 0;
    const LC_GLOBAL_LOCALE: libc::locale_t = ptr::without_provenance_mut(usize::MAX);
    let mut old = 0;
    // SAFETY: the pointer is valid, and the program does not rely on the values (caller).
    unsafe {
        libc::uselocale(LC_GLOBAL_LOCALE);
        pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &raw mut old);
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &raw mut old);
        *libc::__errno_location() = 0;
    }
}

impl Glibc {
    /// Finds out what needs no trial. The other facts are zero.
    pub(super) fn find() -> io::Result<Self> {
        let dtors = symbol(c"__call_tls_dtors").ok_or_else(|| unknown("`__call_tls_dtors`"))?;
        let keys = symbol(c"__pthread_keys").ok_or_else(|| unknown("`__pthread_keys`"))?;
        let rseq = symbol(c"__rseq_offset");
        let thread_pointer = ThreadPointer::current();
        let facts = Self {
            id_offset: 0,
            // SAFETY: the call has no preconditions.
            begin: thread_pointer.offset_of(unsafe { libc::pthread_self() } as *const u8),
            // SAFETY: glibc documents this symbol: a constant of type `ptrdiff_t`.
            rseq_offset: rseq.map(|offset| unsafe { offset.cast::<isize>().read() }),
            robust_offset: robust::find(thread_pointer),
            area: 0,
            // SAFETY: glibc's own code declares it like this.
            call_tls_dtors: unsafe {
                std::mem::transmute::<*mut c_void, unsafe extern "C" fn()>(dtors.as_ptr())
            },
            keys: keys.as_ptr().cast(),
        };
        facts.check_keys()?;
        Ok(facts)
    }

    /// Checks that a new key appears where the keys are expected.
    fn check_keys(&self) -> io::Result<()> {
        unsafe extern "C" fn marker(_: *mut c_void) {}
        let mut key = 0;
        // SAFETY: the key is deleted before anything has a value for it.
        unsafe {
            let errno = libc::pthread_key_create(&raw mut key, Some(marker));
            if errno != 0 {
                return Err(io::Error::from_raw_os_error(errno));
            }
            let found = (*self.keys.add(key as usize)).destructor;
            libc::pthread_key_delete(key);
            let marker: unsafe extern "C" fn(*mut c_void) = marker;
            match found.is_some_and(|found| ptr::fn_addr_eq(found, marker)) {
                true => Ok(()),
                false => Err(unknown("the known layout of `__pthread_keys`")),
            }
        }
    }

    /// Marks the robust mutexes that the green thread still holds.
    ///
    /// # Safety
    ///
    /// `thread_pointer` is the current one. No code of the program runs under it any more.
    pub(super) unsafe fn release_mutexes(&self, thread_pointer: ThreadPointer) {
        let Some(list) = self.robust_offset else {
            return;
        };
        // SAFETY: as here (caller). The id is a word of the same thread.
        unsafe {
            let id = thread_pointer.at::<i32>(self.id_offset).read();
            robust::release(list, thread_pointer, id);
        }
    }

    /// Runs what glibc runs at the end of a thread, and leaves nothing behind.
    ///
    /// A destructor of a key may use thread locals again, whose destructors glibc then forgets together
    /// with the thread. Here they must run: the next green thread would otherwise run them, on values of
    /// its own.
    ///
    /// # Safety
    ///
    /// As for `PthreadIdentity::run_destructors`.
    pub(super) unsafe fn run_destructors(&self) {
        for _ in 0..DESTRUCTOR_ROUNDS {
            // SAFETY: as at the end of a thread (caller).
            unsafe {
                (self.call_tls_dtors)();
                if !self.end_key_values(true) {
                    return;
                }
            }
        }
        // SAFETY: as above.
        unsafe {
            (self.call_tls_dtors)();
            self.end_key_values(false);
        }
    }

    /// Removes the values of all keys, and runs their destructors if `is_round`. Returns `false` if no key
    /// had a value.
    unsafe fn end_key_values(&self, is_round: bool) -> bool {
        let mut any = false;
        for key in 0..KEYS {
            // The lowest free key is always used first. So after one that was never used, none was.
            // SAFETY: the entry is read as glibc reads it.
            if unsafe { (*self.keys.add(key as usize)).generation.load(Relaxed) } == 0 {
                break;
            }
            // SAFETY: without such a key, the value is null.
            let value = unsafe { libc::pthread_getspecific(key) };
            if value.is_null() {
                continue;
            }
            any = true;
            // SAFETY: the key exists, since it has a value; the entry is read as glibc reads it.
            unsafe {
                libc::pthread_setspecific(key, ptr::null());
                let destructor = (*self.keys.add(key as usize)).destructor;
                if let Some(destructor) = destructor.filter(|_| is_round) {
                    destructor(value);
                }
            }
        }
        any
    }
}
