//! The examples and the names in std's documentation, as the component `rust-docs` installs it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The modules of std that evy mirrors, and whose documentation is read.
const MODULES: [&str; 8] = [
    "sync",
    "thread",
    "net",
    "time",
    "fs",
    "process",
    "os/unix/net",
    "io",
];

/// The pages of `std::io` about standard input and output and pipes. The others describe traits and
/// adapters that evy re-exports.
const PAGES_OF_IO: [&str; 9] = [
    "fn.pipe",
    "struct.PipeReader",
    "struct.PipeWriter",
    "fn.stdin",
    "fn.stdout",
    "fn.stderr",
    "struct.Stdin",
    "struct.Stdout",
    "struct.Stderr",
];

/// An example, or the import of a name.
#[derive(Clone, Debug)]
pub(crate) struct Example {
    /// The item that it belongs to, such as `sync::Mutex::lock`, with a number if there are several.
    pub(crate) name: String,
    /// A file with a function `main`.
    pub(crate) code: String,
    /// Whether the documentation says that it does not compile.
    pub(crate) is_refused: bool,
    /// The minor version of Rust that has introduced the item.
    pub(crate) since: Option<u32>,
}

/// Returns the folder of std's documentation if it is installed.
pub(crate) fn folder() -> Option<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "sysroot"]).output();
    let sysroot = String::from_utf8(output.ok()?.stdout).ok()?;
    let folder = Path::new(sysroot.trim()).join("share/doc/rust/html/std");
    folder.is_dir().then_some(folder)
}

/// Returns the stable examples. Each appears once, with the shortest path that std has for it.
pub(crate) fn examples(std: &Path) -> Vec<Example> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for module in MODULES {
        let mut pages = pages(&std.join(module));
        pages.sort_by_key(|page| (page.components().count(), page.clone()));
        for page in pages {
            let item = item(page.strip_prefix(std).expect("a page of std"));
            let text = read(&page);
            let examples = examples_of_page(&item, &text);
            found.extend(examples.filter(|example| seen.insert(example.code.clone())));
        }
    }
    number(&mut found);
    found
}

/// Returns an import of each stable name.
pub(crate) fn names(std: &Path) -> Vec<Example> {
    let mut found = Vec::new();
    for module in MODULES.into_iter().chain(["sync/mpsc", "sync/atomic"]) {
        let index = read(&std.join(module).join("index.html"));
        for entry in index.split("<dt>").skip(1) {
            let entry = before(entry, "</dt>");
            let Some(page) = between(entry, "href=\"", "\"") else {
                continue;
            };
            if entry.contains("stab unstable") || page.starts_with("primitive.") {
                continue;
            }
            let name = item(&Path::new(module).join(page));
            found.push(Example {
                code: format!("#![allow(unused)]\npub use std::{name};\nfn main() {{}}\n"),
                since: since(&read(&std.join(module).join(page))),
                name: format!("use {name}"),
                is_refused: false,
            });
        }
    }
    found
}

/// Returns the pages of a module. Pages of unstable modules, and pages that only lead to others,
/// have no examples of their own.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let is_io = folder.ends_with("io");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the documentation can be listed") {
        let path = entry.expect("an entry can be read").path();
        let name = path.file_stem().and_then(|name| name.to_str());
        if path.is_dir() && !is_io {
            if !read_if_any(&path.join("index.html")).contains("nightly-only experimental API") {
                found.extend(pages(&path));
            }
        } else if path
            .extension()
            .is_some_and(|extension| extension == "html")
            && (!is_io || name.is_some_and(|name| PAGES_OF_IO.contains(&name)))
        {
            found.push(path);
        }
    }
    found
}

/// Turns `sync/struct.Mutex.html` into `sync::Mutex`.
fn item(page: &Path) -> String {
    let parts = page.with_extension("");
    let parts = parts.iter().filter_map(|part| part.to_str());
    let parts = parts.filter(|part| *part != "index");
    let names = parts.map(|part| part.rsplit('.').next().unwrap_or(part));
    names.collect::<Vec<_>>().join("::")
}

fn examples_of_page<'a>(item: &'a str, page: &'a str) -> impl Iterator<Item = Example> + 'a {
    const MAIN: &str = "<section id=\"main-content";
    const START: &str = "<div class=\"example-wrap";
    let starts = page.match_indices(START).map(|(at, _)| at);
    starts.filter_map(move |at| {
        let rest = &page[at + START.len()..];
        let kind = before(rest, "\"");
        let rest = before(rest, START);
        let link = between(rest, "https://play.rust-lang.org/?code=", "\"")?;
        let code = decode(before(link, "&"));
        if kind.contains("ignore") || code.contains("#![feature") {
            return None;
        }
        let section = page[..at]
            .rfind("<section id=\"")
            .filter(|at| !page[*at..].starts_with(MAIN));
        let within = section.map_or("", |start| &page[start..at]);
        let method = between(within, "id=\"", "\"").map(|id| id.rsplit('.').next().unwrap_or(id));
        Some(Example {
            name: method.map_or(item.to_owned(), |method| {
                format!("{item}::{}", decode(method))
            }),
            code,
            is_refused: kind.contains("compile_fail"),
            since: since(within).or_else(|| since(page)),
        })
    })
}

/// Returns the first version that `page` names, as the minor number.
fn since(page: &str) -> Option<u32> {
    let version = between(page, "Stable since Rust version 1.", "\"")?;
    before(version, ".").parse().ok()
}

/// Distinguishes the examples of one item: the second one of `sync` becomes `sync (2)`.
fn number(examples: &mut [Example]) {
    let names: Vec<_> = examples
        .iter()
        .map(|example| example.name.clone())
        .collect();
    for (index, example) in examples.iter_mut().enumerate() {
        let earlier = names[..index].iter().filter(|name| **name == example.name);
        match earlier.count() {
            0 => {}
            count => example.name = format!("{} ({})", example.name, count + 1),
        }
    }
}

/// Decodes the text of a form in a URL.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut parts = text.split('%');
    let plain = |part: &str| part.replace('+', " ").into_bytes();
    bytes.extend(plain(parts.next().unwrap_or_default()));
    for part in parts {
        let code = part
            .get(..2)
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(code.expect("two hexadecimal digits"));
        bytes.extend(plain(&part[2..]));
    }
    String::from_utf8(bytes).expect("the code is text")
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    Some(before(rest, end))
}

fn before<'a>(text: &'a str, end: &str) -> &'a str {
    text.split(end).next().unwrap_or(text)
}

fn read(page: &Path) -> String {
    fs::read_to_string(page).expect("a page of the documentation is text")
}

fn read_if_any(page: &Path) -> String {
    fs::read_to_string(page).unwrap_or_default()
}
