//! House rules that no lint checks: who may import whom, how files begin, where `unsafe` may be.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers of `evy-runtime`, lowest first. A module may import its own layer and those below.
const LAYERS: [&[&str]; 7] = [
    &[
        "clock",
        "context",
        "heap",
        "list",
        "mailbox",
        "primitive",
        "stack",
    ],
    &["green"],
    &["reactor", "timer"],
    &["sched"],
    &["io", "thread"],
    &[
        "block_on",
        "blocking",
        "event",
        "fs",
        "queue",
        "select",
        "semaphore",
        "sync",
    ],
    &["diag"],
];

/// Doors to the outside: they may import everything, and nobody imports them.
const DOORS: [&str; 3] = ["lib", "lowlevel", "test"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the project.
fn rust_files() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder of the project can be read") {
            let path = entry.expect("an entry can be read").path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(root(), &mut found);
    assert!(found.len() > 40, "the walk has missed the sources");
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a source file is text")
}

/// Comments and strings hold no code.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The modules that a line of `evy-runtime` names as `crate::module`.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    // In a macro, `$crate::` is what the program that calls it says.
    let line = code(line);
    let from_macro = line.contains("$crate::");
    let skipped = if from_macro { usize::MAX } else { 1 };
    line.split("crate::").skip(skipped).map(|rest| {
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn layers_import_downwards_only() {
    let source = root().join("runtime/src");
    let mut checked = 0;
    for path in rust_files().iter().filter(|path| path.starts_with(&source)) {
        let inside = path.strip_prefix(&source).expect("filtered");
        let first = inside
            .iter()
            .next()
            .and_then(|part| part.to_str())
            .unwrap_or_default();
        let module = first.trim_end_matches(".rs");
        if DOORS.contains(&module) {
            continue;
        }
        let own = layer(module).unwrap_or_else(|| panic!("{module} is in no layer: add it"));
        for (number, line) in read(path).lines().enumerate() {
            for import in imports(line) {
                checked += 1;
                let theirs = layer(import);
                assert!(
                    theirs.is_some_and(|theirs| theirs <= own),
                    "{}:{}: layer {own} imports {import}, of layer {theirs:?}",
                    inside.display(),
                    number + 1
                );
            }
        }
    }
    assert!(checked > 30, "only {checked} imports were seen");
}

#[test]
fn crates_depend_one_way() {
    let manifest = |folder: &str| read(&root().join(folder).join("Cargo.toml"));
    assert!(!manifest("runtime").contains("evy-net") && !manifest("runtime").contains("evy-pool"));
    assert!(!manifest("net").contains("evy-pool") && !manifest("net").contains("evy-http"));
    assert!(!manifest("http").contains("evy-pool"));
    assert!(!manifest("pool").contains("evy-net") && !manifest("pool").contains("evy-http"));
}

#[test]
fn every_file_opens_with_what_it_is() {
    for path in rust_files() {
        let text = read(&path);
        let opens = text.starts_with("//!") || text.starts_with("#![doc = include_str!");
        assert!(opens, "{} does not open with //!", path.display());
    }
}

#[test]
fn unsafe_is_forbidden_above_the_runtime() {
    for folder in ["src", "net/src", "http/src", "pool/src"] {
        let text = read(&root().join(folder).join("lib.rs"));
        assert!(text.contains("#![forbid(unsafe_code)]"), "{folder}");
    }
}

#[test]
fn one_thread_local_and_no_static_mut() {
    let source = root().join("runtime/src");
    for path in rust_files().iter().filter(|path| path.starts_with(&source)) {
        let text = read(path);
        let count = text
            .lines()
            .filter(|line| code(line).contains("thread_local!"))
            .count();
        let allowed = usize::from(path.ends_with("sched/current.rs"));
        assert_eq!(count, allowed, "{}", path.display());
        assert!(
            !text.lines().any(|line| code(line).contains("static mut ")),
            "{}",
            path.display()
        );
    }
}

#[test]
fn only_the_scheduler_switches() {
    let source = root().join("runtime/src");
    for path in rust_files().iter().filter(|path| path.starts_with(&source)) {
        if path.starts_with(source.join("context")) || path.ends_with("sched/park.rs") {
            continue;
        }
        assert!(
            !read(path).contains("context::switch("),
            "{}",
            path.display()
        );
    }
}

#[test]
fn nothing_is_left_to_do_without_a_reason() {
    for path in rust_files()
        .iter()
        .filter(|path| !path.ends_with("tidy.rs"))
    {
        for word in ["TODO", "FIXME", "XXX"] {
            assert!(!read(path).contains(word), "{}: {word}", path.display());
        }
    }
}
