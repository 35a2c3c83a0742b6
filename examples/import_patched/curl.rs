//! The few functions of libcurl that the example needs.

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};
use std::io;
use std::mem::transmute;

const URL: c_int = 10002;
const WRITE_DATA: c_int = 10001;
const WRITE_FUNCTION: c_int = 20011;
const TIMEOUT_MS: c_int = 155;
const NO_SIGNAL: c_int = 99;
const YES: c_long = 1;
const TIMEOUT: c_long = 30_000;
const GLOBAL_ALL: c_long = 3;

type Handle = *mut c_void;

type GlobalInit = unsafe extern "C" fn(c_long) -> c_int;
type Init = unsafe extern "C" fn() -> Handle;
type Set = unsafe extern "C" fn(Handle, c_int, ...) -> c_int;
type Perform = unsafe extern "C" fn(Handle) -> c_int;
type Cleanup = unsafe extern "C" fn(Handle);
type Message = unsafe extern "C" fn(c_int) -> *const c_char;
type Write = unsafe extern "C" fn(*const u8, usize, usize, *mut Vec<u8>) -> usize;

#[derive(Debug)]
pub(crate) struct Curl {
    init: Init,
    set: Set,
    perform: Perform,
    cleanup: Cleanup,
    message: Message,
}

impl Curl {
    pub(crate) fn load() -> io::Result<Self> {
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
            transmute::<*mut c_void, GlobalInit>(global_init)(GLOBAL_ALL);
            Ok(Self {
                init: transmute::<*mut c_void, Init>(find(c"curl_easy_init")?),
                set: transmute::<*mut c_void, Set>(find(c"curl_easy_setopt")?),
                perform: transmute::<*mut c_void, Perform>(find(c"curl_easy_perform")?),
                cleanup: transmute::<*mut c_void, Cleanup>(find(c"curl_easy_cleanup")?),
                message: transmute::<*mut c_void, Message>(find(c"curl_easy_strerror")?),
            })
        }
    }

    pub(crate) fn fetch(&self, url: &str) -> io::Result<Vec<u8>> {
        let url = CString::new(url)?;
        let mut body = Vec::new();
        let write: Write = write;
        // SAFETY: the options have these types, and the pointers are valid until the cleanup.
        let result = unsafe {
            let handle = (self.init)();
            (self.set)(handle, URL, url.as_ptr());
            (self.set)(handle, WRITE_FUNCTION, write);
            (self.set)(handle, WRITE_DATA, &raw mut body);
            (self.set)(handle, TIMEOUT_MS, TIMEOUT);
            (self.set)(handle, NO_SIGNAL, YES);
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
