//! The few functions of libcurl that the example needs.

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};
use std::io;
use std::mem::transmute;

const URL: c_int = 10002;
const WRITE_DATA: c_int = 10001;
const WRITE_FUNCTION: c_int = 20011;
const TIMEOUT_MS: c_int = 155;
const NO_SIGNAL: c_int = 99;

type Handle = *mut c_void;

pub struct Curl {
    init: unsafe extern "C" fn() -> Handle,
    set: unsafe extern "C" fn(Handle, c_int, ...) -> c_int,
    perform: unsafe extern "C" fn(Handle) -> c_int,
    cleanup: unsafe extern "C" fn(Handle),
    message: unsafe extern "C" fn(c_int) -> *const c_char,
}

impl Curl {
    pub fn load() -> io::Result<Self> {
        let names = [c"libcurl.so.4", c"libcurl-gnutls.so.4"];
        // SAFETY: the initializers of libcurl may run at any time.
        let open = |name: &CStr| unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        let library = names.into_iter().map(open).find(|found| !found.is_null());
        let library = library.ok_or_else(|| io::Error::other("libcurl is not installed"))?;
        // SAFETY: the library is loaded.
        let find = |name: &CStr| match unsafe { libc::dlsym(library, name.as_ptr()) } {
            found if found.is_null() => Err(io::Error::other("libcurl lacks a function")),
            found => Ok(found),
        };
        // SAFETY: the functions have these types, and global initialization comes first.
        unsafe {
            let global_init = find(c"curl_global_init")?;
            transmute::<*mut c_void, unsafe extern "C" fn(c_long) -> c_int>(global_init)(3);
            Ok(Self {
                init: transmute(find(c"curl_easy_init")?),
                set: transmute(find(c"curl_easy_setopt")?),
                perform: transmute(find(c"curl_easy_perform")?),
                cleanup: transmute(find(c"curl_easy_cleanup")?),
                message: transmute(find(c"curl_easy_strerror")?),
            })
        }
    }

    pub fn fetch(&self, url: &str) -> io::Result<Vec<u8>> {
        let url = CString::new(url)?;
        let mut body = Vec::new();
        let write: unsafe extern "C" fn(*const u8, usize, usize, *mut Vec<u8>) -> usize = write;
        // SAFETY: the options have these types, and the pointers are valid until the cleanup.
        let result = unsafe {
            let handle = (self.init)();
            (self.set)(handle, URL, url.as_ptr());
            (self.set)(handle, WRITE_FUNCTION, write);
            (self.set)(handle, WRITE_DATA, &raw mut body);
            (self.set)(handle, TIMEOUT_MS, 30_000 as c_long);
            (self.set)(handle, NO_SIGNAL, 1 as c_long);
            let result = (self.perform)(handle);
            (self.cleanup)(handle);
            result
        };
        if result == 0 {
            return Ok(body);
        }
        // SAFETY: the function returns a static C string.
        let message = unsafe { CStr::from_ptr((self.message)(result)) };
        Err(io::Error::other(message.to_string_lossy().into_owned()))
    }
}

unsafe extern "C" fn write(
    data: *const u8,
    size: usize,
    count: usize,
    body: *mut Vec<u8>,
) -> usize {
    // SAFETY: libcurl passes its data, and the pointer that `fetch` has set.
    unsafe { (*body).extend_from_slice(std::slice::from_raw_parts(data, size * count)) };
    size * count
}
