//! Building a program in a package of its own, with settings that no test binary can have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether the tests run under an emulator of another architecture, which is slow and cannot build.
#[must_use]
pub fn is_emulated() -> bool {
    std::env::var_os("EVY_UNDER_QEMU").is_some()
}

/// Whether green threads share the thread locals of their OS thread. They do unless the tests run with
/// a pthread identity for each green thread.
#[must_use]
pub fn shares_thread_locals() -> bool {
    std::env::var_os("EVY_OWN_IDENTITY").is_none()
}

/// A program to be built outside of this workspace.
#[derive(Debug)]
pub struct Program<'a> {
    /// The name of the program and of its package.
    pub name: &'a str,
    /// The source of its `main`.
    pub source: PathBuf,
    /// The lines below `[dependencies]`.
    pub dependencies: String,
    /// The lines below `[profile.dev]`.
    pub profile: &'a str,
}

impl Program<'_> {
    /// Builds the program in `folder`, and returns the path of the executable.
    ///
    /// It uses the versions of the workspace's lock file, which lies in `root`, and no network.
    #[must_use]
    pub fn build(&self, root: &Path, folder: &Path) -> PathBuf {
        let Self {
            name,
            source,
            dependencies,
            profile,
        } = self;
        let folder = folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        let manifest = format!(
            "[package]\nname = {name:?}\nedition = \"2024\"\n\n[[bin]]\nname = {name:?}\n\
             path = {source:?}\n\n[dependencies]\n{dependencies}\n\n[profile.dev]\n{profile}\n\n\
             [workspace]\n"
        );
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--offline", "--target-dir", "target"])
            .current_dir(&folder)
            .status();
        assert!(built.unwrap().success(), "{name} does not build");
        folder.join("target/debug").join(name)
    }
}
