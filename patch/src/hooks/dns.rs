//! The resolution of names, on helper OS threads: the C library cannot do it without blocking.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::net::IpAddr;
use std::ptr;

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{Caller, Interruption};
use libc::{addrinfo, hostent, size_t, sockaddr, socklen_t};

use super::helper::{Helpers, Lent};
use super::system::{errno, set_errno};

/// The lookups. Their number is limited, because one can take many seconds, and one that was given
/// up goes on.
static LOOKUPS: Helpers = Helpers::new(64);

const REASON: WaitReason = WaitReason::Other("a name to be resolved");

hooks! {
    DNS: fn getaddrinfo(
        node: *const c_char,
        service: *const c_char,
        hints: *const addrinfo,
        result: *mut *mut addrinfo,
    ) -> c_int {
        |caller| {
            if needs_no_lookup(node, hints) {
                return real::getaddrinfo(node, service, hints, result);
            }
            match look_up(caller, node, service, hints) {
                Ok(answer) => {
                    if answer.error == libc::EAI_SYSTEM {
                        set_errno(answer.errno);
                    }
                    if answer.error == 0 {
                        *result = answer.into_list();
                        return 0;
                    }
                    answer.error
                }
                Err(errno) => {
                    set_errno(errno);
                    libc::EAI_SYSTEM
                }
            }
        }
    }

    DNS: fn getnameinfo(
        address: *const sockaddr,
        address_len: socklen_t,
        host: *mut c_char,
        host_len: socklen_t,
        service: *mut c_char,
        service_len: socklen_t,
        flags: c_int,
    ) -> c_int {
        |caller| {
            if flags & libc::NI_NUMERICHOST != 0 || host.is_null() {
                return real::getnameinfo(
                    address, address_len, host, host_len, service, service_len, flags,
                );
            }
            let lent = Lent::new((address, host, service));
            to_the_end(caller, move || {
                let (address, host, service) = lent.get();
                real::getnameinfo(
                    address, address_len, host, host_len, service, service_len, flags,
                )
            })
        }
    }

    DNS: fn gethostbyname_r(
        name: *const c_char,
        host: *mut hostent,
        buffer: *mut c_char,
        len: size_t,
        result: *mut *mut hostent,
        error: *mut c_int,
    ) -> c_int {
        |caller| {
            let lent = Lent::new((name, host, buffer, result, error));
            to_the_end(caller, move || {
                let (name, host, buffer, result, error) = lent.get();
                real::gethostbyname_r(name, host, buffer, len, result, error)
            })
        }
    }

    DNS: fn gethostbyname2_r(
        name: *const c_char,
        family: c_int,
        host: *mut hostent,
        buffer: *mut c_char,
        len: size_t,
        result: *mut *mut hostent,
        error: *mut c_int,
    ) -> c_int {
        |caller| {
            let lent = Lent::new((name, host, buffer, result, error));
            to_the_end(caller, move || {
                let (name, host, buffer, result, error) = lent.get();
                real::gethostbyname2_r(name, family, host, buffer, len, result, error)
            })
        }
    }

    DNS: fn gethostbyaddr_r(
        address: *const c_void,
        address_len: socklen_t,
        family: c_int,
        host: *mut hostent,
        buffer: *mut c_char,
        len: size_t,
        result: *mut *mut hostent,
        error: *mut c_int,
    ) -> c_int {
        |caller| {
            let lent = Lent::new((address, host, buffer, result, error));
            to_the_end(caller, move || {
                let (address, host, buffer, result, error) = lent.get();
                real::gethostbyaddr_r(
                    address, address_len, family, host, buffer, len, result, error,
                )
            })
        }
    }

    DNS: fn gethostbyname(name: *const c_char) -> *mut hostent {
        |caller| {
            let name = Lent::new(name);
            found(to_the_end(caller, move || noting_error(|| real::gethostbyname(name.get()))))
        }
    }

    DNS: fn gethostbyname2(name: *const c_char, family: c_int) -> *mut hostent {
        |caller| {
            let name = Lent::new(name);
            let call = move || noting_error(|| real::gethostbyname2(name.get(), family));
            found(to_the_end(caller, call))
        }
    }

    DNS: fn gethostbyaddr(address: *const c_void, len: socklen_t, family: c_int) -> *mut hostent {
        |caller| {
            let address = Lent::new(address);
            let call = move || noting_error(|| real::gethostbyaddr(address.get(), len, family));
            found(to_the_end(caller, call))
        }
    }
}

/// Whether `getaddrinfo` only has to translate numbers.
unsafe fn needs_no_lookup(node: *const c_char, hints: *const addrinfo) -> bool {
    // SAFETY: as for `getaddrinfo` (caller).
    unsafe {
        let is_numeric = hints
            .as_ref()
            .is_some_and(|hints| hints.ai_flags & libc::AI_NUMERICHOST != 0);
        is_numeric
            || node.is_null()
            || CStr::from_ptr(node)
                .to_str()
                .is_ok_and(|name| name.parse::<IpAddr>().is_ok())
    }
}

/// What `getaddrinfo` has returned. Frees the list of a lookup that was given up.
struct Answer {
    error: c_int,
    errno: c_int,
    list: *mut addrinfo,
}

// SAFETY: the list belongs to the answer, and may be freed on any OS thread.
unsafe impl Send for Answer {}

impl Answer {
    fn into_list(mut self) -> *mut addrinfo {
        std::mem::replace(&mut self.list, ptr::null_mut())
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.list.is_null() {
            // SAFETY: `getaddrinfo` has returned it, and nothing else has it.
            unsafe { libc::freeaddrinfo(self.list) };
        }
    }
}

/// Looks a name up. If a kill or an enclosing `timeout` interrupts that, returns the `errno` for
/// it. The lookup then goes on by itself, so it has its own arguments.
unsafe fn look_up(
    caller: Caller,
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
) -> Result<Answer, c_int> {
    let own = |text: *const c_char| -> Option<CString> {
        // SAFETY: as for `getaddrinfo` (caller).
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_owned())
    };
    let (node, service) = (own(node), own(service));
    // The lists of the hints are null, so they hold nothing but numbers.
    // SAFETY: valid or null (caller).
    let hints = unsafe { hints.as_ref() }.map(|hints| {
        [
            hints.ai_flags,
            hints.ai_family,
            hints.ai_socktype,
            hints.ai_protocol,
        ]
    });
    LOOKUPS.run_until(caller, REASON, Interruption::Ends, move || {
        let pointer =
            |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
        let hints = hints.map(|[ai_flags, ai_family, ai_socktype, ai_protocol]| addrinfo {
            ai_flags,
            ai_family,
            ai_socktype,
            ai_protocol,
            ai_addrlen: 0,
            ai_addr: ptr::null_mut(),
            ai_canonname: ptr::null_mut(),
            ai_next: ptr::null_mut(),
        });
        let hints = hints.as_ref().map_or(ptr::null(), ptr::from_ref);
        let mut list = ptr::null_mut();
        let (node, service) = (pointer(&node), pointer(&service));
        // SAFETY: the texts and the hints are valid, or null as the caller's.
        let error = unsafe { real::getaddrinfo(node, service, hints, &raw mut list) };
        let list = match error {
            0 => list,
            _ => ptr::null_mut(),
        };
        Answer {
            error,
            errno: errno(),
            list,
        }
    })
}

/// Runs a call that uses the caller's memory on a helper OS thread, with its `errno`.
fn to_the_end<T: Copy + 'static>(caller: Caller, call: impl FnOnce() -> T + Send + 'static) -> T {
    LOOKUPS.run_with_errno(caller, REASON, call)
}

unsafe extern "C" {
    fn __h_errno_location() -> *mut c_int;
}

/// Makes a call of the old interface, whose error is in `h_errno`.
fn noting_error(call: impl FnOnce() -> *mut hostent) -> (*mut hostent, c_int) {
    let host = call();
    // SAFETY: the address is that of the calling thread.
    (host, unsafe { *__h_errno_location() })
}

/// Returns the result of the old interface.
fn found((host, error): (*mut hostent, c_int)) -> *mut hostent {
    if host.is_null() {
        // SAFETY: the address is that of the calling thread.
        unsafe { *__h_errno_location() = error };
    }
    host
}
