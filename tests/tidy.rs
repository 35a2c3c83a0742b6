//! Rules of this project that no lint checks: which modules may import which, how files begin, and
//! where `unsafe` is allowed.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers of `evy-runtime`, lowest first. A module may import its own layer and those below.
const LAYERS: [&[&str]; 7] = [
    &[
        "clock",
        "context",
        "fork",
        "heap",
        "helper_thread",
        "list",
        "mailbox",
        "primitive",
        "pthread_identity",
        "stack",
        "unhooked",
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
        "helper_pool",
        "os",
        "process",
        "interval",
        "queue",
        "select",
        "semaphore",
        "signal",
        "stdio",
        "sync",
    ],
    &["diag"],
];

/// Modules at the top. They may import everything, and no module imports them.
const TOP_MODULES: [&str; 3] = ["lib", "lowlevel", "test"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the paths of all Rust files of the project.
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

/// Returns the part of `line` before `//`. What follows is in a comment or a string, not code.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Returns the modules that a line of `evy-runtime` names as `crate::module`.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    // In a macro, `$crate::` is a path of the program that calls the macro.
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
fn modules_import_only_their_own_layer_and_lower_layers() {
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
        if TOP_MODULES.contains(&module) {
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
fn crates_do_not_depend_on_higher_crates() {
    let manifest = |folder: &str| read(&root().join(folder).join("Cargo.toml"));
    assert!(!manifest("runtime").contains("evy-net") && !manifest("runtime").contains("evy-pool"));
    assert!(!manifest("net").contains("evy-pool") && !manifest("net").contains("evy-http"));
    assert!(!manifest("http").contains("evy-pool"));
    assert!(!manifest("pool").contains("evy-net") && !manifest("pool").contains("evy-http"));
    assert!(!manifest("tls").contains("evy-pool") && !manifest("tls").contains("evy-http"));
    for higher in ["evy-pool", "evy-http", "evy-tls"] {
        assert!(!manifest("ureq").contains(higher));
    }
    for folder in ["runtime", "net", "http", "pool", "tls"] {
        assert!(!manifest(folder).contains("evy-ureq"), "{folder}");
    }
}

#[test]
fn only_one_crate_depends_on_rustls() {
    for folder in ["runtime", "net", "http", "pool"] {
        let text = read(&root().join(folder).join("Cargo.toml"));
        assert!(!text.contains("rustls"), "{folder}");
        // The HTTP client adds TLS to its connections.
        assert!(folder == "http" || !text.contains("evy-tls"), "{folder}");
    }
}

#[test]
fn every_file_begins_with_a_doc_comment() {
    for path in rust_files() {
        let text = read(&path);
        let opens = text.starts_with("//!") || text.starts_with("#![doc = include_str!");
        assert!(opens, "{} does not open with //!", path.display());
    }
}

#[test]
fn unsafe_is_forbidden_above_the_runtime() {
    for folder in ["src", "http/src", "pool/src", "tls/src", "ureq/src"] {
        let text = read(&root().join(folder).join("lib.rs"));
        assert!(text.contains("#![forbid(unsafe_code)]"), "{folder}");
    }
}

/// `FromRawFd` is an unsafe trait.
#[test]
fn unsafe_is_denied_in_net_outside_of_one_file() {
    let source = root().join("net/src");
    let text = read(&source.join("lib.rs"));
    assert!(text.contains("#![deny(unsafe_code)]"));
    for path in rust_files().iter().filter(|path| path.starts_with(&source)) {
        let text = read(path);
        let allows = |line: &str| code(line).contains("unsafe_code") && !line.contains("deny");
        let is_allowed = text.lines().any(allows);
        assert_eq!(is_allowed, path.ends_with("raw.rs"), "{}", path.display());
    }
}

#[test]
fn thread_locals_of_the_runtime_are_in_few_files_and_there_is_no_static_mut() {
    // The scheduler of the OS thread; whether hooks may park; what a trial of identities tries; the
    // OS thread that an identity belongs to.
    let files = [
        "sched/current.rs",
        "unhooked.rs",
        "pthread_identity/os_thread.rs",
        "pthread_identity/trial.rs",
    ];
    let source = root().join("runtime/src");
    for path in rust_files().iter().filter(|path| path.starts_with(&source)) {
        let text = read(path);
        let count = text
            .lines()
            .filter(|line| code(line).contains("thread_local!"))
            .count();
        let allowed = usize::from(files.iter().any(|file| path.ends_with(file)));
        assert_eq!(count, allowed, "{}", path.display());
        assert!(
            !text.lines().any(|line| code(line).contains("static mut ")),
            "{}",
            path.display()
        );
    }
}

#[test]
fn only_the_scheduler_switches_contexts() {
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
fn no_file_contains_a_mark_of_unfinished_work() {
    for path in rust_files()
        .iter()
        .filter(|path| !path.ends_with("tidy.rs"))
    {
        for word in ["TODO", "FIXME", "XXX"] {
            assert!(!read(path).contains(word), "{}: {word}", path.display());
        }
    }
}

/// Returns the targets of the links to files in a Markdown text.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://"))
}

#[test]
fn links_between_documents_lead_to_files_that_exist() {
    let mut checked = 0;
    for page in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/BEHAVIOUR.md",
        "docs/BENCHMARKS.md",
        "docs/DESIGN.md",
        "docs/FROM_EVENTLET.md",
        "docs/HTTP_DEVIATIONS.md",
        "docs/IMPORT_GREEN.md",
        "docs/PANIC_ABORT.md",
        "docs/PATCH_CALLS.md",
        "docs/PATCH_COSTS.md",
        "docs/PATCH_HOWTO.md",
        "docs/STD_DIFFERENCES.md",
        "examples/README.md",
        "benches/README.md",
    ] {
        let path = root().join(page);
        let folder = path.parent().expect("a page lies in a folder");
        for target in links(&read(&path)) {
            checked += 1;
            assert!(folder.join(target).exists(), "{page} links to {target}");
        }
    }
    assert!(checked > 100, "only {checked} links were seen");
}

#[test]
fn the_tests_that_the_lists_of_behaviors_name_exist() {
    let mut checked = 0;
    let lists = ["docs/BEHAVIOUR.md", "docs/PANIC_ABORT.md"].map(|list| read(&root().join(list)));
    for row in lists.iter().flat_map(|list| list.lines()) {
        let Some((_, test)) = row.rsplit_once("| `") else {
            continue;
        };
        let (name, _) = test.split_once('`').expect("a test name is quoted");
        let name = name.rsplit("::").next().unwrap_or_default();
        let path = links(test).next().expect("a test names its file");
        let text = read(&root().join("docs").join(path));
        assert!(text.contains(&format!("{name}(")), "{path} has no {name}");
        checked += 1;
    }
    assert!(checked > 100, "only {checked} behaviors were seen");
}

/// Returns the name of the public item that a line declares.
fn public_item(line: &str) -> Option<&str> {
    let line = line.trim().strip_prefix("pub ")?;
    let words = ["const", "fn", "struct", "trait", "type"];
    let mut rest = line.split(' ').skip_while(|word| words.contains(word));
    let name = rest.next()?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
}

#[test]
fn the_table_of_differences_from_std_names_each_item_whose_docs_list_some() {
    let table = read(&root().join("docs/STD_DIFFERENCES.md"));
    let names: Vec<&str> = table
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();
    let mut checked = 0;
    for folder in ["runtime/src", "net/src"] {
        let source = root().join(folder);
        for path in rust_files().iter().filter(|path| path.starts_with(&source)) {
            let text = read(path);
            let sections = text.split("/// # Differences from std").skip(1);
            for name in sections.filter_map(|rest| rest.lines().find_map(public_item)) {
                checked += 1;
                assert!(names.contains(&name), "{}: {name}", path.display());
            }
        }
    }
    assert!(checked > 15, "only {checked} items were seen");
}

/// An invariant is written as its name in brackets.
#[test]
fn every_invariant_in_the_table_is_defined_where_it_says() {
    let text = read(&root().join("ARCHITECTURE.md"));
    let mut names = Vec::new();
    for row in text.lines().filter(|line| line.starts_with("| `[")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (name, files) = (cells[1].trim_matches('`'), cells[3]);
        for file in files.split(", ").map(|file| file.trim_matches('`')) {
            let folders = ["runtime/src", "."];
            let path = folders.iter().map(|folder| root().join(folder).join(file));
            let path = path.clone().find(|path| path.exists());
            let path = path.unwrap_or_else(|| panic!("{name}: there is no {file}"));
            assert!(read(&path).contains(name), "{file} does not define {name}");
        }
        names.push(name.to_owned());
    }
    assert!(names.len() > 5, "only {} invariants were seen", names.len());
    // The names that SAFETY comments refer to are all in the table.
    for path in rust_files() {
        let text = read(&path);
        for comment in text.lines().filter_map(|line| line.split_once("//")) {
            for name in comment.1.split('[').skip(1) {
                let name = name.split(']').next().unwrap_or_default();
                let is_name =
                    name.contains('-') && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
                let is_known = names.contains(&format!("[{name}]"));
                assert!(!is_name || is_known, "{}: [{name}]", path.display());
            }
        }
    }
}

#[test]
fn the_list_of_examples_names_each_of_them() {
    let folder = root().join("examples");
    let list = read(&folder.join("README.md"));
    let mut checked = 0;
    for entry in fs::read_dir(folder).expect("a folder of the project can be read") {
        let path = entry.expect("an entry can be read").path();
        let is_example = path.is_dir() || path.extension().is_some_and(|end| end == "rs");
        let name = path.file_stem().and_then(|name| name.to_str());
        let (true, Some(name)) = (is_example, name) else {
            continue;
        };
        let row = format!("| `{name}` |");
        assert!(list.contains(&row), "examples/README.md has no `{name}`");
        assert!(list.contains(&format!("--example {name}")), "{name}");
        checked += 1;
    }
    assert!(checked > 5, "only {checked} examples were seen");
}
