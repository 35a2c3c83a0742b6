//! The real functions of the C library.

use std::ffi::{CStr, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// The address of a real function, found when the program starts.
#[derive(Debug)]
pub(super) struct Real {
    address: AtomicPtr<c_void>,
    name: &'static CStr,
    /// The version of the symbol, where an older one has another ABI.
    version: Option<&'static CStr>,
}

impl Real {
    pub(super) const fn new(name: &'static CStr) -> Self {
        Self {
            address: AtomicPtr::new(ptr::null_mut()),
            name,
            version: None,
        }
    }

    pub(super) const fn with_version(name: &'static CStr, version: &'static CStr) -> Self {
        Self {
            address: AtomicPtr::new(ptr::null_mut()),
            name,
            version: Some(version),
        }
    }

    /// Returns the address.
    #[inline(always)]
    pub(super) fn address(&self) -> *mut c_void {
        let address = self.address.load(Relaxed);
        if address.is_null() {
            self.find()
        } else {
            address
        }
    }

    /// Finds the address: the next definition after that of this crate.
    #[cold]
    pub(super) fn find(&self) -> *mut c_void {
        // SAFETY: both are C strings.
        let address = unsafe {
            match self.version {
                Some(version) => {
                    libc::dlvsym(libc::RTLD_NEXT, self.name.as_ptr(), version.as_ptr())
                }
                None => libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()),
            }
        };
        if address.is_null() {
            // No caller could go on without the function. A message would call hooks.
            std::process::abort();
        }
        self.address.store(address, Relaxed);
        address
    }
}

/// A hook, and the name of the function that it replaces.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) name: &'static CStr,
    pub(super) address: *const (),
}

// SAFETY: the address is that of a function.
unsafe impl Sync for Hook {}

impl Hook {
    /// Whether calls from other modules of the process reach it.
    pub(super) fn is_reached(&self) -> bool {
        // SAFETY: the name is a C string.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, self.name.as_ptr()) };
        found.addr() == self.address.addr()
    }
}

/// Defines hooks, their list `HOOKS`, and the real functions in a module `real`.
///
/// ```text
/// hooks! {
///     TIME: fn usleep(microseconds: c_uint) -> c_int { |caller| ... }
/// }
/// ```
///
/// The block runs if the calling green thread may park. Otherwise the real function is called, whose
/// cancellation by `pthread_cancel` may unwind, and so does the hook.
macro_rules! hooks {
    ($(
        $category:ident: fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $ret:ty
        { |$caller:pat_param| $body:expr }
    )*) => {
        $(
            #[doc = concat!("Replaces `", stringify!($name), "`.")]
            ///
            /// # Safety
            ///
            /// As for the function of the C library.
            #[unsafe(no_mangle)]
            pub(crate) unsafe extern "C-unwind" fn $name($($arg: $type),*) -> $ret {
                match $crate::hooks::caller($crate::Categories::$category) {
                    // SAFETY: as for the function of the C library (caller).
                    None => unsafe { real::$name($($arg),*) },
                    Some($caller) => {
                        #[expect(clippy::allow_attributes, reason = "not every body calls such functions")]
                        #[allow(unused_unsafe, reason = "not every body calls such functions")]
                        // SAFETY: as for the function of the C library (caller).
                        unsafe {
                            $body
                        }
                    }
                }
            }
        )*

        /// The hooks of this module, with their names.
        pub(super) static HOOKS: &[$crate::hooks::real::Hook] = &[
            $($crate::hooks::real::Hook {
                name: match std::ffi::CStr::from_bytes_with_nul(
                    concat!(stringify!($name), "\0").as_bytes(),
                ) {
                    Ok(name) => name,
                    Err(_) => unreachable!(),
                },
                address: $name as *const (),
            }),*
        ];

        /// The real functions.
        #[expect(clippy::allow_attributes, reason = "not all of them are used by other hooks")]
        mod real {
            #[allow(unused_imports, reason = "not every signature needs all of them")]
            use super::*;

            $(
                #[allow(dead_code, reason = "not all of them are used by other hooks")]
                #[inline(always)]
                pub(in $crate::hooks) unsafe fn $name($($arg: $type),*) -> $ret {
                    static REAL: $crate::hooks::real::Real = $crate::hooks::real::Real::new(
                        match std::ffi::CStr::from_bytes_with_nul(
                            concat!(stringify!($name), "\0").as_bytes(),
                        ) {
                            Ok(name) => name,
                            Err(_) => unreachable!(),
                        },
                    );
                    /// Finds it before `main`, because `dlsym` may allocate.
                    #[used]
                    #[unsafe(link_section = ".init_array")]
                    static FIND: extern "C" fn() = {
                        extern "C" fn find() {
                            REAL.find();
                        }
                        find
                    };
                    // SAFETY: the address is that of a function with this signature.
                    let real: unsafe extern "C-unwind" fn($($type),*) -> $ret =
                        unsafe { std::mem::transmute(REAL.address()) };
                    // SAFETY: as for the hook (caller).
                    unsafe { real($($arg),*) }
                }
            )*
        }
    };
}
