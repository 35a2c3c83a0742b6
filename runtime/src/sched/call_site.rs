//! The call in the program that led to a wait, found in the text of a backtrace.
//!
//! The location of the call could be passed down to each wait instead. But then every call that may
//! park would pay for a report that hardly any program prints.

use std::env;
use std::path::{Component, Path, PathBuf};

/// Finds the innermost call outside of the libraries, in the text of a backtrace from inside a wait.
pub(super) fn program_call(backtrace: &str) -> Option<String> {
    let mut lines = backtrace.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let Some((_, name)) = line.split_once(": ") else {
            continue;
        };
        let site = lines.next_if(|line| line.starts_with("at "));
        let is_library = match (first_of_path(name), site) {
            _ if site.is_some_and(is_site_of_library) => true,
            (Some(first), _) => LIBRARIES.contains(&first),
            // Where the compiler has written only line tables, no function has a path. Functions of C
            // have neither, if the C library has no debug information.
            (None, site) => site.is_none(),
        };
        if is_library {
            continue;
        }
        // Without debug information, only the name of the function is known.
        return Some(match site {
            Some(site) => format!(" {site}"),
            None => format!(" in {name}"),
        });
    }
    None
}

/// The crates whose functions are not those of a program.
const LIBRARIES: [&str; 11] = [
    "evy",
    "evy_runtime",
    "evy_pool",
    "evy_net",
    "evy_http",
    "evy_tls",
    "evy_patch",
    "std",
    "core",
    "alloc",
    "__rustc",
];

/// Returns the crate of a function, if its name is a path.
fn first_of_path(name: &str) -> Option<&str> {
    let name = name.trim_start_matches(['<', '&']);
    let end_of_path = name.find(['<', ' ', '>']).unwrap_or(name.len());
    let (first, _) = name[..end_of_path].split_once("::")?;
    Some(first)
}

/// Whether a line such as `at ./src/main.rs:1:2` names a file of the standard library or of evy.
fn is_site_of_library(site: &str) -> bool {
    let file = site.trim_start_matches("at ");
    // The sources of the standard library may be installed, or not.
    file.starts_with("/rustc/")
        || file.contains("/rustlib/src/rust/library/")
        || is_file_of_evy(&absolute(Path::new(file)))
}

/// Backtraces print the files below the current folder relative to it.
fn absolute(file: &Path) -> PathBuf {
    match env::current_dir() {
        Ok(folder) if file.is_relative() => folder.join(file.strip_prefix(".").unwrap_or(file)),
        _ => file.to_owned(),
    }
}

/// Whether a file belongs to the sources of a crate of evy. These are siblings: folders of the
/// repository, or of a registry.
fn is_file_of_evy(file: &Path) -> bool {
    let siblings = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let Some(file) = siblings.and_then(|siblings| file.strip_prefix(siblings).ok()) else {
        return false;
    };
    let mut components = file.components();
    let (Some(Component::Normal(folder)), Some(Component::Normal(source))) =
        (components.next(), components.next())
    else {
        return false;
    };
    let folder = folder.to_string_lossy();
    // A registry names folders like `evy-net-0.1.0`.
    let name = folder.strip_prefix("evy-").unwrap_or(&folder);
    let name = name.split('-').next().unwrap_or_default();
    source == "src" && ["runtime", "net", "pool", "http", "tls", "patch"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::program_call;

    #[test]
    fn the_innermost_call_outside_of_the_libraries_is_found() {
        let with_lines = "\
   0: std::backtrace::Backtrace::force_capture
             at /rustc/0123/library/std/src/backtrace.rs:312:9
   1: evy_runtime::queue::Queue<T>::get
             at /evy/runtime/src/queue/mod.rs:1:2
   2: <evy_pool::imap::Imap<T> as core::iter::traits::iterator::Iterator>::next
             at /evy/pool/src/imap.rs:3:4
   3: <I as core::iter::traits::collect::IntoIterator>::into_iter
             at /rustc/0123/library/core/src/iter/traits/collect.rs:5:6
   4: __rust_try
   5: <app::Jobs as core::ops::drop::Drop>::drop
             at /app/src/jobs.rs:7:8
   6: app::main
             at /app/src/main.rs:9:10
";
        assert_eq!(
            program_call(with_lines).as_deref(),
            Some(" at /app/src/jobs.rs:7:8")
        );
        let names_only = "   0: evy_runtime::queue::Queue<T>::get\n   1: app::main\n";
        assert_eq!(program_call(names_only).as_deref(), Some(" in app::main"));
        assert_eq!(program_call("disabled backtrace"), None);
    }

    #[test]
    fn functions_without_paths_are_told_apart_by_their_files() {
        let runtime = env!("CARGO_MANIFEST_DIR");
        let line_tables = format!(
            "\
   0: force_capture
             at /root/lib/rustlib/src/rust/library/std/src/backtrace.rs:312:9
   1: park
             at {runtime}/src/thread/park.rs:1:2
   2: {{closure#0}}<(), evy_runtime::scope::Scope>
             at {runtime}/src/scope.rs:3:4
   3: __rust_try
   4: {{closure#0}}<(), evy_runtime::scope::Scope>
             at {runtime}/tests/threads/main.rs:5:6
"
        );
        assert_eq!(
            program_call(&line_tables),
            Some(format!(" at {runtime}/tests/threads/main.rs:5:6"))
        );
    }
}
