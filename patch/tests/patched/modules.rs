//! Thread locals of shared libraries that are loaded while identities exist already.

use std::ffi::{CString, c_int, c_void};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use evy_test_support::within;

use crate::is_patched;

/// Compiles a library with a thread local. Returns its path, or `None` where there is no compiler.
fn compile(tls_model: &str) -> Option<PathBuf> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("thread-local-{}-{number}", std::process::id());
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let source = target.with_extension("c");
    let text = "__thread int count = 7; __thread int other; int next(void) { other++; return count++ + other; }";
    std::fs::write(&source, text).unwrap();
    let compiled = Command::new("gcc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&target)
        .arg(format!("-ftls-model={tls_model}"))
        .arg(&source)
        .status();
    std::fs::remove_file(source).unwrap();
    match compiled {
        Ok(status) => assert!(status.success()),
        Err(error) => {
            println!("skipped: there is no gcc: {error}");
            return None;
        }
    }
    Some(target)
}

/// Checks that each of some green threads, which use the same identity one after another, finds the
/// initial values.
fn is_renewed(next: usize) {
    // SAFETY: the function has this type, and its library is loaded.
    let next: extern "C" fn() -> c_int = unsafe { std::mem::transmute(next) };
    for round in 0..5 {
        let values = evy::spawn(move || [next(), next()]).join().unwrap();
        assert_eq!(values, [8, 10], "round {round}");
    }
}

fn libraries_are_loaded_and_unloaded(tls_model: &str) {
    if !is_patched() {
        return;
    }
    let tls_model = tls_model.to_owned();
    within(move || {
        for _ in 0..3 {
            evy::spawn(|| ()).join().unwrap();
            let Some(path) = compile(&tls_model) else {
                return;
            };
            let name = CString::new(path.to_str().unwrap()).unwrap();
            // SAFETY: the library has no initializers, and a function `next`.
            unsafe {
                let library: *mut c_void = libc::dlopen(name.as_ptr(), libc::RTLD_NOW);
                std::fs::remove_file(path).unwrap();
                assert!(!library.is_null());
                is_renewed(libc::dlsym(library, c"next".as_ptr()).addr());
                libc::dlclose(library);
            }
        }
    });
}

#[test]
fn thread_locals_of_a_library_that_is_loaded_later_are_renewed() {
    libraries_are_loaded_and_unloaded("global-dynamic");
}

#[test]
fn thread_locals_in_the_static_area_of_a_library_that_is_loaded_later_are_renewed() {
    libraries_are_loaded_and_unloaded("initial-exec");
}

#[test]
fn a_library_that_is_loaded_while_green_threads_end_on_another_os_thread_is_not_missed() {
    if !is_patched() {
        return;
    }
    within(|| {
        let Some(path) = compile("initial-exec") else {
            return;
        };
        let is_done = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&is_done);
        let other = std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                evy::spawn(|| ()).join().unwrap();
            }
        });
        for round in 0..1000 {
            // The loader knows a file that it has loaded by its number.
            let copy = path.with_extension(format!("{round}.so"));
            std::fs::copy(&path, &copy).unwrap();
            let name = CString::new(copy.to_str().unwrap()).unwrap();
            // SAFETY: the library has no initializers, and a function `next`.
            unsafe {
                let library: *mut c_void = libc::dlopen(name.as_ptr(), libc::RTLD_NOW);
                std::fs::remove_file(copy).unwrap();
                assert!(!library.is_null());
                is_renewed(libc::dlsym(library, c"next".as_ptr()).addr());
                libc::dlclose(library);
            }
        }
        std::fs::remove_file(path).unwrap();
        is_done.store(true, Ordering::Relaxed);
        other.join().unwrap();
    });
}
