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
    pub(super) const fn new(name: &'static CStr, version: Option<&'static CStr>) -> Self {
        Self {
            address: AtomicPtr::new(ptr::null_mut()),
            name,
            version,
        }
    }

    /// Returns the address.
    #[inline(always)]
    pub(super) fn address(&self) -> *mut c_void {
        let address = self.address.load(Relaxed);
        if address.is_null() {
            self.find_late()
        } else {
            address
        }
    }

    /// Finds the address: the next definition after that of this crate. It stays null if an old C
    /// library lacks the function.
    #[cold]
    pub(super) fn find(&self) -> *mut c_void {
        let name = self.name.as_ptr();
        let mut address = ptr::null_mut();
        // SAFETY: both are C strings.
        unsafe {
            if let Some(version) = self.version {
                address = libc::dlvsym(libc::RTLD_NEXT, name, version.as_ptr());
            }
            if address.is_null() {
                // A newer architecture has one version only.
                address = libc::dlsym(libc::RTLD_NEXT, name);
            }
        }
        self.address.store(address, Relaxed);
        address
    }

    #[cold]
    fn find_late(&self) -> *mut c_void {
        match self.find() {
            address if address.is_null() => is_missing as *mut c_void,
            address => address,
        }
    }
}

/// Stands for a function that this version of the C library lacks.
extern "C" fn is_missing() -> isize {
    super::system::fail(libc::ENOSYS)
}

/// Turns a literal that ends with a zero byte into a C string.
pub(super) const fn c_string(name: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(name.as_bytes()) {
        Ok(name) => name,
        Err(_) => panic!("the literal ends with a zero byte"),
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
    /// Whether calls from other modules of the process reach it. Of a function that the C library
    /// lacks, there are none.
    pub(super) fn is_reached(&self) -> bool {
        // SAFETY: the name is a C string.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, self.name.as_ptr()) };
        found.is_null() || found.addr() == self.address.addr()
    }
}

/// Defines hooks, their list `HOOKS`, and the real functions in a module `real`.
///
/// ```text
/// hooks! {
///     TIME: fn usleep(microseconds: c_uint) -> c_int { |caller| ... }
///     THREAD: fn pthread_cond_wait(...) -> c_int = "GLIBC_2.3.2" { |caller| ... }
///     @always fn sem_post(semaphore: *mut sem_t) -> c_int { ... }
/// }
/// ```
///
/// The block runs if the calling green thread may park. Otherwise the real function is called, whose
/// cancellation by `pthread_cancel` may unwind, and so does the hook. A string names the version of
/// the symbol, where an older one has another ABI.
///
/// With `@always` the block runs for every caller, green thread or not. Such functions stand last.
macro_rules! hooks {
    (
        $(
            $category:ident: fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $ret:ty
            $(= $version:literal)?
            { |$caller:pat_param| $body:expr }
        )*
        $(
            @always fn $always:ident($($always_arg:ident: $always_type:ty),* $(,)?)
            -> $always_ret:ty $(= $always_version:literal)?
            $always_body:block
        )*
    ) => {
        $(
            #[doc = concat!("Replaces `", stringify!($name), "`.")]
            ///
            /// # Safety
            ///
            /// As for the function of the C library.
            #[expect(clippy::allow_attributes, reason = "not every function needs all of them")]
            #[allow(
                non_snake_case,
                unreachable_code,
                clippy::diverging_sub_expression,
                clippy::too_many_arguments,
                reason = "the function is that of the C library"
            )]
            #[unsafe(no_mangle)]
            pub(crate) unsafe extern "C-unwind" fn $name($($arg: $type),*) -> $ret {
                match $crate::hooks::caller::current($crate::Categories::$category) {
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

        $(
            #[doc = concat!("Replaces `", stringify!($always), "`.")]
            ///
            /// # Safety
            ///
            /// As for the function of the C library.
            #[expect(clippy::allow_attributes, reason = "not every function needs all of them")]
            #[allow(
                non_snake_case,
                unreachable_code,
                clippy::diverging_sub_expression,
                clippy::too_many_arguments,
                reason = "the function is that of the C library"
            )]
            #[unsafe(no_mangle)]
            pub(crate) unsafe extern "C-unwind" fn $always(
                $($always_arg: $always_type),*
            ) -> $always_ret {
                // SAFETY: as for the function of the C library (caller).
                unsafe { $always_body }
            }
        )*

        /// The hooks of this module, with their names.
        pub(in $crate::hooks) static HOOKS: &[$crate::hooks::real::Hook] = &[
            $($crate::hooks::real::Hook {
                name: $crate::hooks::real::c_string(concat!(stringify!($name), "\0")),
                address: $name as *const (),
            },)*
            $($crate::hooks::real::Hook {
                name: $crate::hooks::real::c_string(concat!(stringify!($always), "\0")),
                address: $always as *const (),
            },)*
        ];

        /// The real functions.
        #[expect(clippy::allow_attributes, reason = "not all of them are used by other hooks")]
        mod real {
            #[allow(unused_imports, reason = "not every signature needs all of them")]
            use super::*;

            $(real_function! { $name($($arg: $type),*) -> $ret $(, $version)? })*
            $(real_function! {
                $always($($always_arg: $always_type),*) -> $always_ret $(, $always_version)?
            })*
        }
    };
}

/// Defines the real function `name`, for a module that does not replace it.
macro_rules! real_function {
    ($name:ident($($arg:ident: $type:ty),* $(,)?) -> $ret:ty $(, $version:literal)?) => {
        #[allow(
            dead_code,
            non_snake_case,
            clippy::too_many_arguments,
            reason = "the functions are those of the C library"
        )]
        #[inline(always)]
        pub(in $crate::hooks) unsafe fn $name($($arg: $type),*) -> $ret {
            static REAL: $crate::hooks::real::Real = $crate::hooks::real::Real::new(
                $crate::hooks::real::c_string(concat!(stringify!($name), "\0")),
                real_function!(@version $($version)?),
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
            type Function = unsafe extern "C-unwind" fn($($type),*) -> $ret;
            // SAFETY: the address is that of a function with this signature.
            let real = unsafe {
                std::mem::transmute::<*mut std::ffi::c_void, Function>(REAL.address())
            };
            // SAFETY: as for the hook (caller).
            unsafe { real($($arg),*) }
        }
    };
    (@version) => { None };
    (@version $version:literal) => {
        Some($crate::hooks::real::c_string(concat!($version, "\0")))
    };
}
