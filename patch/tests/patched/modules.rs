//! Thread locals of shared libraries that are loaded while identities exist already.

use std::ffi::{CString, c_int, c_void};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use evy_test_support::{rerun_ignored, within};

use crate::is_patched;

/// The source of a library with thread locals.
const COUNT: &str = "__thread int count = 7; __thread int other; int next(void) { other++; return count++ + other; }";

/// Compiles a library. Returns its path, or `None` where there is no compiler.
fn compile(tls_model: &str, text: &str) -> Option<PathBuf> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("thread-local-{}-{number}", std::process::id());
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let source = target.with_extension("c");
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
            let Some(path) = compile(&tls_model, COUNT) else {
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
fn an_allocator_that_keeps_lists_of_threads_survives_that_a_library_is_loaded() {
    const JEMALLOC: &str = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2";
    if !is_patched() || !std::path::Path::new(JEMALLOC).exists() {
        println!("skipped: {JEMALLOC} is not there");
        return;
    }
    let mut run = rerun_ignored("modules::loads_a_library_in_the_static_area");
    let status = run.env("LD_PRELOAD", JEMALLOC).status();
    assert!(status.unwrap().success());
}

#[test]
#[ignore = "run by `an_allocator_that_keeps_lists_of_threads_survives_that_a_library_is_loaded`"]
fn loads_a_library_in_the_static_area() {
    libraries_are_loaded_and_unloaded("initial-exec");
}

#[test]
fn a_library_that_is_loaded_while_green_threads_end_on_another_os_thread_is_not_missed() {
    if !is_patched() {
        return;
    }
    within(|| {
        let Some(path) = compile("initial-exec", COUNT) else {
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

#[test]
fn libraries_may_be_loaded_by_an_os_thread_while_green_threads_end() {
    if is_patched() {
        let status = rerun_ignored("modules::loads_while_green_threads_end").status();
        assert!(status.unwrap().success());
    }
}

/// Returns the source of a library whose thread locals have another size and other values for each
/// number.
fn numbered(number: usize) -> String {
    let (len, value) = (2 + 3 * number, 1000 + number);
    format!(
        "static __thread long all[{len}] = {{ [0 ... {len} - 1] = {value} }};
         int next(void) {{
             for (int i = 0; i < {len}; i++)
                 if (all[i] != {value}) return i + 1;
             for (int i = 0; i < {len}; i++)
                 all[i] = 5;
             return 0;
         }}"
    )
}

/// Loads a library. Returns null if the loader has no place for its thread locals.
fn load(name: &CString) -> *mut c_void {
    // SAFETY: the library has no initializers.
    unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) }
}

fn unload(library: *mut c_void) {
    if !library.is_null() {
        // SAFETY: it is loaded.
        unsafe { libc::dlclose(library) };
    }
}

#[test]
#[ignore = "run by `libraries_may_be_loaded_by_an_os_thread_while_green_threads_end`"]
fn loads_while_green_threads_end() {
    assert!(is_patched());
    within(|| {
        let models = ["initial-exec", "global-dynamic"];
        let compiled = (0..6).map(|number| compile(models[number % 2], &numbered(number)));
        let Some(paths) = compiled.collect::<Option<Vec<_>>>() else {
            return;
        };
        let name = |path: &PathBuf| CString::new(path.to_str().unwrap()).unwrap();
        let names: Arc<Vec<_>> = Arc::new(paths.iter().map(name).collect());
        let is_over = Arc::new(AtomicBool::new(false));
        let (theirs, ends) = (Arc::clone(&names), Arc::clone(&is_over));
        let loading = std::thread::spawn(move || {
            for number in 0.. {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let first = load(&theirs[number % theirs.len()]);
                let second = load(&theirs[(7 * number + 1) % theirs.len()]);
                unload(first);
                unload(second);
            }
        });
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            let use_library = |number: usize| {
                let names = Arc::clone(&names);
                evy::spawn(move || {
                    let library = load(&names[number]);
                    if library.is_null() {
                        return;
                    }
                    // SAFETY: the library is loaded, and has such a function.
                    let next: extern "C" fn() -> c_int =
                        unsafe { std::mem::transmute(libc::dlsym(library, c"next".as_ptr())) };
                    evy::yield_now();
                    assert_eq!(next(), 0);
                    unload(library);
                })
            };
            let all: Vec<_> = (0..names.len()).map(use_library).collect();
            assert!(evy::wait_all(all).into_iter().all(|ended| ended.is_ok()));
        }
        is_over.store(true, Ordering::Relaxed);
        loading.join().unwrap();
        paths
            .iter()
            .for_each(|path| std::fs::remove_file(path).unwrap());
    });
}
