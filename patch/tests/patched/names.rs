//! The resolution of names.

use std::ffi::CStr;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::ptr;
use std::time::Duration;

use evy_test_support::within;

use crate::{as_on_os_thread, is_patched, outcome, parking};

#[test]
fn a_lookup_of_std_parks() {
    if !is_patched() {
        return;
    }
    within(|| {
        let found: Vec<SocketAddr> = parking(|| ("localhost", 80).to_socket_addrs())
            .unwrap()
            .collect();
        assert!(found.iter().any(|address| address.ip().is_loopback()));
        let many: Vec<_> = (0..100)
            .map(|_| evy::spawn(|| ("localhost", 80).to_socket_addrs().unwrap().count()))
            .collect();
        assert!(
            evy::wait_all(many)
                .into_iter()
                .all(|found| found.unwrap() > 0)
        );
    });
}

/// Looks up as C does. Returns the error, and the addresses with the canonical name.
fn look_up(
    node: Option<&CStr>,
    service: Option<&CStr>,
    flags: i32,
    family: i32,
) -> (i32, usize, Option<String>) {
    // SAFETY: the pointers are valid or null, and the list is freed once.
    unsafe {
        let mut hints: libc::addrinfo = std::mem::zeroed();
        hints.ai_flags = flags;
        hints.ai_family = family;
        let mut list = ptr::null_mut();
        let pointer = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
        let (node, service) = (pointer(node), pointer(service));
        let error = libc::getaddrinfo(node, service, &raw const hints, &raw mut list);
        if error != 0 {
            return (error, 0, None);
        }
        let name = (*list).ai_canonname;
        let name = (!name.is_null()).then(|| CStr::from_ptr(name).to_str().unwrap().to_owned());
        let mut count = 0;
        let mut at = list;
        while let Some(one) = at.as_ref() {
            count += 1;
            at = one.ai_next;
        }
        libc::freeaddrinfo(list);
        (0, count, name)
    }
}

#[test]
fn results_and_errors_of_lookups_are_those_of_c() {
    if !is_patched() {
        return;
    }
    within(|| {
        as_on_os_thread(|| {
            let (host, name) = (Some(c"localhost"), libc::AI_CANONNAME);
            [
                look_up(host, None, 0, libc::AF_UNSPEC),
                look_up(host, Some(c"80"), name, libc::AF_INET),
                look_up(host, Some(c"no such service"), 0, libc::AF_INET),
                look_up(host, None, 0, 77),
                look_up(host, None, -1, libc::AF_INET),
                look_up(host, None, libc::AI_NUMERICHOST, libc::AF_INET),
                look_up(Some(c"127.0.0.1"), Some(c"80"), 0, libc::AF_INET),
                look_up(Some(c"127.0.0.1"), None, 0, libc::AF_INET6),
                look_up(None, Some(c"80"), libc::AI_PASSIVE, libc::AF_INET),
                look_up(None, None, 0, libc::AF_INET),
            ]
        });
    });
}

#[test]
fn the_name_of_an_address_is_found_while_parked() {
    if !is_patched() {
        return;
    }
    fn name(flags: i32, len: u32) -> (i32, String) {
        // SAFETY: the pointers are valid.
        unsafe {
            let mut address: libc::sockaddr_in = std::mem::zeroed();
            address.sin_family = libc::AF_INET as u16;
            address.sin_addr.s_addr = u32::from(Ipv4Addr::LOCALHOST).to_be();
            let mut host = [0; 256];
            let error = libc::getnameinfo(
                (&raw const address).cast(),
                size_of::<libc::sockaddr_in>() as u32,
                host.as_mut_ptr(),
                len,
                ptr::null_mut(),
                0,
                flags,
            );
            (
                error,
                CStr::from_ptr(host.as_ptr()).to_str().unwrap().to_owned(),
            )
        }
    }
    within(|| {
        parking(|| name(0, 256));
        as_on_os_thread(|| [name(0, 256), name(libc::NI_NUMERICHOST, 256), name(0, 2)]);
    });
}

#[test]
fn the_old_functions_find_the_same() {
    if !is_patched() {
        return;
    }
    unsafe extern "C" {
        fn gethostbyname(name: *const libc::c_char) -> *const libc::hostent;
        fn gethostbyname_r(
            name: *const libc::c_char,
            host: *mut libc::hostent,
            buffer: *mut libc::c_char,
            len: usize,
            result: *mut *mut libc::hostent,
            error: *mut i32,
        ) -> i32;
    }
    within(|| {
        // SAFETY: the pointers are valid.
        let address = parking(|| unsafe {
            let host = gethostbyname(c"localhost".as_ptr());
            **(*host).h_addr_list.cast::<*const [u8; 4]>()
        });
        assert_eq!(Ipv4Addr::from(address), Ipv4Addr::LOCALHOST);
        as_on_os_thread(|| {
            let mut buffer = [0; 1024];
            let (mut result, mut error) = (ptr::null_mut(), 0);
            // SAFETY: the pointers are valid.
            unsafe {
                let mut host: libc::hostent = std::mem::zeroed();
                let (buffer, name) = (buffer.as_mut_ptr(), c"localhost".as_ptr());
                let host = &raw mut host;
                let call = gethostbyname_r;
                let small = call(name, host, buffer, 4, &raw mut result, &raw mut error);
                let large = call(name, host, buffer, 1024, &raw mut result, &raw mut error);
                (outcome(small), outcome(large), result.is_null())
            }
        });
    });
}

#[test]
fn a_kill_and_a_timeout_end_a_lookup_with_an_error() {
    if !is_patched() {
        return;
    }
    within(|| {
        let is_refused = || {
            let caught = evy::timeout(Duration::ZERO, || {
                let found = look_up(Some(c"localhost"), None, 0, libc::AF_INET);
                (found.0, std::io::Error::last_os_error().raw_os_error())
            });
            // The helper may have the answer before the caller waits.
            caught == Ok((libc::EAI_SYSTEM, Some(libc::ETIMEDOUT)))
        };
        let green = evy::spawn(move || assert!((0..100).any(|_| is_refused())));
        green.join().unwrap();
    });
}
