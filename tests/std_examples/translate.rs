//! Replaces `std::` by `evy::` where evy mirrors std, as a program that moves to evy does.

/// The paths below `std` that exist below `evy`.
const MIRRORED: [&str; 10] = [
    "sync",
    "thread",
    "net",
    "time",
    "fs",
    "io",
    "process",
    "os::unix::net",
    "os::linux::net",
    "thread_local",
];

/// Returns `code` with the names replaced.
///
/// `thread_local!` becomes `evy::thread_local!`. In a program that does not import it, the name
/// stands for std's macro, because it is in the prelude.
pub(crate) fn to_evy(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("std::") {
        let (before, path) = (&rest[..at], &rest[at + "std::".len()..]);
        out.push_str(before);
        let is_whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let group = path
            .strip_prefix('{')
            .and_then(|group| group.split_once("};"));
        rest = match group {
            Some((group, after)) if before.ends_with("use ") => {
                out.push_str(&import(group));
                after
            }
            _ => {
                let name = if is_whole && is_mirrored(path) {
                    "evy::"
                } else {
                    "std::"
                };
                out.push_str(name);
                path
            }
        };
    }
    out.push_str(rest);
    out.replace("evy::thread_local!", "thread_local!")
        .replace("thread_local!", "evy::thread_local!")
}

/// Whether `path`, which follows `std::`, begins with a path that evy mirrors.
fn is_mirrored(path: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let mut rests = MIRRORED.iter().filter_map(|name| path.strip_prefix(name));
    rests.any(ends)
}

/// Splits the list of `use std::{..};` into what is evy's and what is std's. The `use` that stands
/// before the list serves the first of them.
fn import(group: &str) -> String {
    let (mut evy, mut std) = (Vec::new(), Vec::new());
    let mut depth = 0;
    let items = group.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    for item in items.map(str::trim).filter(|item| !item.is_empty()) {
        if is_mirrored(item) {
            &mut evy
        } else {
            &mut std
        }
        .push(item);
    }
    format!(
        "evy::{{{}}}; use std::{{{}}};",
        evy.join(", "),
        std.join(", ")
    )
}
