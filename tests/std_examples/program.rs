//! Compiles many examples as the modules of one program, and runs them one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use crate::docs::Example;

/// A package outside of this workspace. Each example is a module of its program, named after the
/// index of the example.
pub(crate) struct Program {
    folder: PathBuf,
    name: &'static str,
}

/// How an example has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Success,
    Failure,
    TimedOut,
}

impl Program {
    /// Writes the package. `name` distinguishes it from others.
    pub(crate) fn new(name: &'static str, examples: &[Example]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("std_examples");
        let package = folder.join(name);
        fs::create_dir_all(package.join("src")).expect("a folder can be created");
        let features = if cfg!(evy_context = "corosensei") {
            "\"portable\""
        } else {
            ""
        };
        let manifest = format!(
            "[package]\nname = {name:?}\nedition = \"2024\"\n\n[workspace]\n\n[profile.dev]\n\
             debug = false\n\n[dependencies]\nevy = {{ path = {root:?}, features = [{features}] }}\n"
        );
        let write = |path: &str, text: &str| {
            fs::write(package.join(path), text).expect("a file can be written");
        };
        write("Cargo.toml", &manifest);
        // Selects the versions that this workspace was built with, which are on the machine already.
        fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock"))
            .expect("a file can be copied");
        for (index, example) in examples.iter().enumerate() {
            let code = format!("\n{}", example.code).replace("\nfn main(", "\npub fn main(");
            write(&format!("src/e{index}.rs"), &code[1..]);
        }
        Self { folder, name }
    }

    /// Compiles the examples of these indices, and returns the error of each that does not compile.
    ///
    /// One that cannot be resolved hides the type errors of others. So those that fail are left
    /// out, and the others are compiled again, until all compile.
    pub(crate) fn build(&self, indices: impl Iterator<Item = usize>) -> BTreeMap<usize, String> {
        let mut included: BTreeSet<usize> = indices.collect();
        let mut failed = BTreeMap::new();
        loop {
            self.write_main(&included);
            let errors = self.compile();
            if errors.is_empty() {
                return failed;
            }
            for (index, message) in errors {
                included.remove(&index);
                failed.entry(index).or_insert(message);
            }
        }
    }

    fn package(&self) -> PathBuf {
        self.folder.join(self.name)
    }

    fn write_main(&self, included: &BTreeSet<usize>) {
        let mut main = String::new();
        for index in included {
            writeln!(main, "mod e{index};").expect("a string can be written");
        }
        main += "fn main() -> std::process::ExitCode {\n    use std::process::Termination;\n    \
                 match std::env::args().nth(1).as_deref() {\n";
        for index in included {
            writeln!(
                main,
                "        Some(\"{index}\") => e{index}::main().report(),"
            )
            .expect("a string can be written");
        }
        main += "        _ => panic!(\"no such example\"),\n    }\n}\n";
        fs::write(self.package().join("src/main.rs"), main).expect("a file can be written");
    }

    /// Runs the compiler once, and returns the first error of each example. It prints lines such as
    /// `src/e17.rs:7:11: error[E0277]: message`.
    fn compile(&self) -> BTreeMap<usize, String> {
        let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--offline", "--message-format=short"])
            .current_dir(self.package())
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            .env_remove("RUSTFLAGS")
            .output()
            .expect("cargo runs");
        let text = String::from_utf8_lossy(&output.stderr);
        let mut errors = BTreeMap::new();
        for line in text.lines() {
            let Some((location, error)) = line.split_once(": error") else {
                continue;
            };
            let index = location
                .strip_prefix("src/e")
                .and_then(|rest| rest.split('.').next()?.parse().ok());
            if let Some(index) = index {
                errors.entry(index).or_insert_with(|| error.to_owned());
            }
        }
        assert!(
            output.status.success() == errors.is_empty(),
            "errors that belong to no example:\n{text}"
        );
        errors
    }

    /// Runs one example, in an empty folder of its own.
    pub(crate) fn run(&self, index: usize, limit: Duration) -> Ending {
        let folder = self.folder.join(format!("run/{}-{index}", self.name));
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).expect("a folder can be created");
        let program = self.folder.join("target/debug").join(self.name);
        let child = Command::new(program)
            .arg(index.to_string())
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        wait(&mut child.expect("the program was built"), limit)
    }
}

fn wait(child: &mut Child, limit: Duration) -> Ending {
    let start = Instant::now();
    loop {
        match child.try_wait().expect("a child can be waited for") {
            Some(status) if status.success() => return Ending::Success,
            Some(_) => return Ending::Failure,
            None if start.elapsed() < limit => std::thread::sleep(Duration::from_millis(5)),
            None => {
                child.kill().ok();
                child.wait().ok();
                return Ending::TimedOut;
            }
        }
    }
}
