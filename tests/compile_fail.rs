//! Programs that must not compile: borrows that a green thread would outlive, and values of one OS
//! thread that would reach another.
//!
//! Each case in `tests/compile_fail` marks the lines that the compiler must reject, with the code
//! of the error and a part of its message:
//!
//! ```text
//! cross(queue); //~ E0277: cannot be sent between threads safely
//! ```
//!
//! The compiler must report exactly these errors. The rest of its output is not compared, because
//! it differs between toolchains and depends on whether the sources of the standard library are
//! installed.

#![cfg(all(feature = "net", feature = "pool"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// An error that a case expects, or that the compiler reports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Refusal {
    line: usize,
    /// `E0277`, or `error` for an error without a code.
    code: String,
    message: String,
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    let entries = fs::read_dir(folder).expect("the cases can be listed");
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

fn name(case: &Path) -> &str {
    case.file_stem().and_then(|stem| stem.to_str()).unwrap()
}

/// Returns the errors that the marks of a case announce.
fn expected(case: &Path) -> Vec<Refusal> {
    let text = fs::read_to_string(case).unwrap();
    let marks = text.lines().enumerate().flat_map(|(index, line)| {
        line.split("//~ ").skip(1).map(move |mark| {
            let (code, message) = mark
                .split_once(": ")
                .expect("a mark has a code and a message");
            Refusal {
                line: index + 1,
                code: code.to_owned(),
                message: message.trim().to_owned(),
            }
        })
    });
    marks.collect()
}

/// Writes a package outside of this workspace, with each case as a program.
fn write_package(folder: &Path, cases: &[PathBuf]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let features = if cfg!(evy_context = "corosensei") {
        "\"portable\""
    } else {
        ""
    };
    let mut manifest = format!(
        "[package]\nname = \"compile-fail\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\nevy = {{ path = {root:?}, features = [{features}] }}\n"
    );
    for case in cases {
        write!(
            manifest,
            "\n[[bin]]\nname = {:?}\npath = {case:?}\n",
            name(case)
        )
        .unwrap();
    }
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    // Selects the versions that this workspace was built with, which are on the machine already.
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
}

/// Returns the errors that the compiler reports for each case. It prints lines such as
/// `path/case.rs:7:11: error[E0277]: message`.
fn reported(folder: &Path) -> BTreeMap<String, Vec<Refusal>> {
    let output = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .args([
            "check",
            "--bins",
            "--keep-going",
            "--offline",
            "--message-format=short",
        ])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .env_remove("RUSTFLAGS")
        .output()
        .expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("Checking compile-fail"),
        "the cases were not compiled:\n{text}"
    );
    let mut reported: BTreeMap<String, Vec<Refusal>> = BTreeMap::new();
    for line in text.lines() {
        let Some((location, error)) = line.split_once(": error") else {
            continue;
        };
        let mut location = location.rsplit(':').skip(1);
        let (Some(Ok(number)), Some(path)) = (location.next().map(str::parse), location.next())
        else {
            continue;
        };
        let (code, message) = error.split_once(": ").expect("an error has a message");
        let code = code.trim_matches(['[', ']']);
        let refusal = Refusal {
            line: number,
            code: if code.is_empty() { "error" } else { code }.to_owned(),
            message: message.to_owned(),
        };
        reported
            .entry(name(Path::new(path)).to_owned())
            .or_default()
            .push(refusal);
    }
    reported
}

#[test]
fn unsound_programs_do_not_compile() {
    let cases = cases();
    assert!(cases.len() > 10, "only {} cases were found", cases.len());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile_fail");
    write_package(&folder, &cases);
    let reported = reported(&folder);
    for case in &cases {
        let mut found = reported.get(name(case)).cloned().unwrap_or_default();
        let mut expected = expected(case);
        found.sort();
        expected.sort();
        let agree = found.len() == expected.len()
            && found.iter().zip(&expected).all(|(found, expected)| {
                (found.line, &found.code) == (expected.line, &expected.code)
                    && found.message.contains(&expected.message)
            });
        assert!(
            agree,
            "{}: expected {expected:#?}, found {found:#?}",
            name(case)
        );
        let is_refused = name(case).starts_with("not_");
        assert_eq!(
            is_refused,
            !expected.is_empty(),
            "{} has no mark",
            name(case)
        );
    }
}
