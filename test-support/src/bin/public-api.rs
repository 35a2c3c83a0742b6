//! Lists the public API of the crate `evy`, as rustdoc shows it, and compares it with
//! `docs/public-api.txt`.
//!
//! ```text
//! cargo run -p evy-test-support --bin public-api             # fails if the API has changed
//! cargo run -p evy-test-support --bin public-api -- --update # writes the new listing
//! ```
//!
//! The listing has one line for each item, method, variant, associated item and implementation,
//! with its signature. It is read from rustdoc's pages, which is all that a stable toolchain
//! offers.
#![expect(clippy::print_stdout, reason = "a program")]

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

const LISTING: &str = "docs/public-api.txt";

/// Modules that re-export all of a module of std, which differs between toolchains: not listed.
const GLOBS_OF_STD: [&str; 4] = [
    "evy::io",
    "evy::io::prelude",
    "evy::sync::atomic",
    "evy::time",
];

/// Modules of other crates that are re-exported whole: listed by name only.
const FROM_OTHER_CRATES: [&str; 3] = ["evy::http::header", "evy::tls::rustls", "evy::ureq::ureq"];

/// The items that `evy::http` re-exports from the crate `http`: listed by name only.
const FROM_CRATE_HTTP: [&str; 9] = [
    "HeaderMap",
    "HeaderName",
    "HeaderValue",
    "Method",
    "Request",
    "Response",
    "StatusCode",
    "Uri",
    "Version",
];

/// The features that add to the API, besides the default ones.
const FEATURES: &str = "futures-io,patch,tls,ureq";

/// The auto traits that a user depends on. rustdoc lists others, which come and go with the
/// compiler.
const AUTO_TRAITS: [&str; 3] = [" Send for ", " Sync for ", " UnwindSafe for "];

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = root.join("target/public-api");
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "doc",
            "--quiet",
            "--locked",
            "--no-deps",
            "--package",
            "evy",
            "--features",
            FEATURES,
        ])
        .arg("--target-dir")
        .arg(&docs)
        .current_dir(&root)
        .status()?;
    if !built.success() {
        return Err("the documentation does not build".into());
    }
    let pages = docs.join("doc/evy");
    let mut lines = Vec::new();
    list_folder(&pages, "evy", &mut lines)?;
    lines.sort();
    lines.dedup();
    let listing = lines.join("\n") + "\n";

    let path = root.join(LISTING);
    if env::args().any(|word| word == "--update") {
        fs::write(&path, listing)?;
        println!("{LISTING}: {} lines", lines.len());
        return Ok(ExitCode::SUCCESS);
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    let difference = difference(&known, &listing);
    if difference.is_empty() {
        println!("the public API is as {LISTING} says: {} lines", lines.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("the public API has changed:\n{difference}");
    println!("list the change in CHANGELOG.md, then update {LISTING}: see this program's source");
    Ok(ExitCode::FAILURE)
}

/// Returns the lines that only one of the listings has.
fn difference(known: &str, current: &str) -> String {
    let mut text = String::new();
    let only_in = |one: &str, other: &str, sign: char, text: &mut String| {
        let other: std::collections::HashSet<&str> = other.lines().collect();
        for line in one.lines().filter(|line| !other.contains(line)) {
            writeln!(text, "{sign} {line}").expect("a string takes all that is written to it");
        }
    };
    only_in(known, current, '-', &mut text);
    only_in(current, known, '+', &mut text);
    text
}

/// Lists the pages of a module and of the modules in it.
fn list_folder(folder: &Path, module: &str, lines: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or("a page has a name")?;
        if path.is_dir() {
            let inner = format!("{module}::{name}");
            lines.push(format!("{inner} mod"));
            if !FROM_OTHER_CRATES.contains(&&*inner) {
                list_folder(&path, &inner, lines)?;
            }
        } else if let Some((kind, rest)) = name.split_once('.')
            && let Some(item) = rest.strip_suffix(".html")
            && !item.ends_with('!')
        {
            let page = fs::read_to_string(&path)?;
            if module == "evy::http" && FROM_CRATE_HTTP.contains(&item) {
                lines.push(format!("{module}::{item} {kind} (http)"));
                continue;
            }
            let item = format!("{module}::{item}");
            // Above its declaration, an item of std has a link to its source.
            let header = page.split("item-decl").next().unwrap_or_default();
            let is_std = header.contains("class=\"src\" href=\"https://doc.rust-lang.org/");
            if !is_std {
                list_page(&page, kind, &item, lines);
            } else if !GLOBS_OF_STD.contains(&module) {
                lines.push(format!("{item} {kind} (std)"));
            }
        } else if name == "index.html" {
            let page = fs::read_to_string(&path)?;
            for reexport in pieces(&page, "<code>pub use ", "</code>") {
                lines.push(format!("{module} pub use {}", plain(reexport)));
            }
        }
    }
    Ok(())
}

/// Lists an item, and what rustdoc shows below it.
fn list_page(page: &str, kind: &str, item: &str, lines: &mut Vec<String>) {
    let declaration = pieces(
        page,
        "<pre class=\"rust item-decl\"><code>",
        "</code></pre>",
    );
    let declaration = declaration.first().map(|text| plain(text));
    match declaration {
        // The rules of a macro are no part of its interface.
        Some(_) if kind == "macro" => lines.push(format!("{item} macro")),
        Some(text) => lines.push(format!("{item} {kind} {text}")),
        None => lines.push(format!("{item} {kind}")),
    }
    // Blanket implementations belong to other crates.
    let own = page
        .split("id=\"blanket-implementations\"")
        .next()
        .unwrap_or(page);
    let mut block = String::new();
    for section in own.split("<section id=\"").skip(1) {
        let Some((id, rest)) = section.split_once('"') else {
            continue;
        };
        let Some(header) = pieces(rest, "class=\"code-header\">", "</h")
            .first()
            .map(|text| plain(text))
        else {
            continue;
        };
        if id.starts_with("impl-") {
            block = header;
            if block.contains("StructuralPartialEq") {
                continue;
            }
            let is_auto = own.split("id=\"synthetic-implementations\"").nth(1);
            let is_auto =
                is_auto.is_some_and(|auto| auto.contains(&format!("<section id=\"{id}\"")));
            let is_wanted = AUTO_TRAITS.iter().any(|name| block.contains(name));
            if !is_auto || is_wanted {
                lines.push(format!("{item} {block}"));
            }
        } else if id.starts_with("variant.") {
            lines.push(format!("{item} variant {header}"));
        } else if !block.contains(" for ") {
            // The methods of a trait's implementation are those of the trait.
            lines.push(format!("{item}::{header}"));
        }
    }
}

/// Returns each text between `start` and `end`.
fn pieces<'a>(page: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    let after = page.split(start).skip(1);
    after.filter_map(|text| text.split(end).next()).collect()
}

/// Removes tags and entities, and collapses white space.
fn plain(html: &str) -> String {
    let mut text = String::new();
    let mut in_tag = false;
    for c in html.chars() {
        match c {
            '<' => {
                in_tag = true;
                // A clause or an attribute in an element of its own is not joined to the word
                // before.
                text.push('\u{200b}');
            }
            '>' => in_tag = false,
            c if !in_tag => text.push(c),
            _ => {}
        }
    }
    let text = text
        .replace('ⓘ', "")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
    let words = text
        .replace("\u{200b}where", " where")
        .replace('\u{200b}', "");
    let words: Vec<&str> = words.split_whitespace().collect();
    let text = words.join(" ").replace("]pub ", "] pub ");
    // A long list is folded behind a button.
    match text.split_once("{ Show ") {
        Some((before, after)) => {
            let list = after
                .split_once("variants ")
                .map_or(after, |(_, list)| list);
            format!("{before}{{ {list}")
        }
        None => text,
    }
}
