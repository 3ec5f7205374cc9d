//! The notebooks in the kernel that their readers run them in: evcxr, started by `jupyter execute`, which talks
//! Jupyter's protocol with it.
//!
//! Nothing is installed: what is missing is named, with the command that brings it. The kernel is registered in a
//! folder of this run alone, and what it builds lies there too. It cannot lie in the workspace, where cargo would take
//! the kernel's package for a member that is not listed; and one folder for all notebooks builds their crates once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use camelid_files::{say, stem};
use camelid_notebooks::{Notebook, Output};
use tempfile::TempDir;

use super::printed;
use crate::cargo::{as_a_shell_would, cargo};
use crate::workspace::workspace;

/// The version of the kernel that fits the workspace's Rust.
const VERSION: &str = "0.22.0";
/// Brings `jupyter execute`, with what it needs.
const CLIENT: &str = "nbclient==0.11.0";
/// Where the command for a missing client puts one; `jupyter` on the path is asked after it.
const OWN_JUPYTER: &str = "runs/jupyter";

/// The kernel, and the client that talks with it.
pub struct Kernel {
    jupyter: PathBuf,
    folder: TempDir,
}

impl Kernel {
    /// The kernel and the client of this machine, or an error that names all that is missing.
    pub fn find() -> anyhow::Result<Self> {
        let own = workspace().join(OWN_JUPYTER).join("bin/jupyter");
        let jupyters = [own, PathBuf::from("jupyter")];
        let found = Self::of_parts("evcxr_jupyter".as_ref(), &jupyters, &sysroot()?)?;
        if let Some(other) = other_version()? {
            say!("evcxr_jupyter is {other}: the notebooks are held to {VERSION}");
        }
        Ok(found)
    }

    /// The same of a program of the kernel, of the first client that works, and of a folder of Rust.
    fn of_parts(kernel: &Path, jupyters: &[PathBuf], sysroot: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("a folder for what the kernel builds")?;
        let mut missing = Vec::new();
        if !works(Command::new(kernel).arg("--install").env("JUPYTER_PATH", folder.path())) {
            missing.push(format!(
                "the kernel, evcxr_jupyter: cargo install evcxr_jupyter --version {VERSION} --locked"
            ));
        }
        let sources = sysroot.join("lib/rustlib/src/rust/library");
        if !sources.is_dir() {
            let at = sources.display();
            missing.push(format!(
                "the sources of Rust's library, by which the kernel tells the types of variables ({at}): \
                 rustup component add rust-src"
            ));
        }
        let jupyter =
            jupyters.iter().find(|jupyter| works(Command::new(jupyter).args(["execute", "--version"])));
        if jupyter.is_none() {
            missing.push(format!(
                "`jupyter execute`, which talks with the kernel: python3 -m venv {OWN_JUPYTER} && \
                 {OWN_JUPYTER}/bin/pip install {CLIENT}"
            ));
        }
        match jupyter {
            Some(jupyter) if missing.is_empty() => Ok(Self { jupyter: jupyter.clone(), folder }),
            _ => bail!("to run in Jupyter's kernel the notebooks lack\n  {}", missing.join("\n  ")),
        }
    }

    /// What the cells of a notebook put out in the kernel.
    pub fn outputs(&self, notebook: &Path) -> anyhow::Result<Vec<Output>> {
        let build = self.folder.path().join("build");
        std::fs::create_dir_all(&build).with_context(|| format!("creating {}", build.display()))?;
        // The versions that the workspace's tests have.
        std::fs::copy(workspace().join("Cargo.lock"), build.join("Cargo.lock"))
            .context("copying Cargo.lock")?;
        let executed = self.folder.path().join(format!("{}.ipynb", stem(notebook)));
        let mut jupyter = as_a_shell_would(Command::new(&self.jupyter));
        jupyter.arg("execute").arg(format!("--output={}", executed.display())).arg(notebook);
        jupyter.env("JUPYTER_PATH", self.folder.path()).env("EVCXR_TMPDIR", &build);
        printed(jupyter)?;
        Ok(Notebook::read(&executed)?.outputs())
    }
}

/// Whether a program is there and ends well.
fn works(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Where the Rust lies that the kernel will call.
fn sysroot() -> anyhow::Result<PathBuf> {
    let mut rustc = as_a_shell_would(Command::new("rustc"));
    rustc.args(["--print", "sysroot"]).current_dir(workspace());
    Ok(PathBuf::from(printed(rustc)?.trim_end()))
}

/// The version of a kernel that cargo has installed, where it is another one. The kernel itself says it only to
/// its clients.
fn other_version() -> anyhow::Result<Option<String>> {
    let mut list = cargo();
    list.args(["install", "--list"]);
    let listed = printed(list)?;
    let version = listed.lines().find_map(|line| line.strip_prefix("evcxr_jupyter v")?.strip_suffix(':'));
    Ok(version.filter(|version| *version != VERSION).map(str::to_owned))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use camelid_notebooks::difference;

    use super::*;

    fn script(path: &Path, lines: &str) -> PathBuf {
        std::fs::write(path, format!("#!/bin/sh\nset -e\n{lines}\n")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.to_owned()
    }

    #[test]
    fn all_that_is_missing_is_named_with_the_command_that_brings_it() {
        let folder = tempfile::tempdir().unwrap();
        let none = folder.path().join("none");
        let said = Kernel::of_parts(&none, std::slice::from_ref(&none), &none).err().unwrap().to_string();
        for command in [
            "cargo install evcxr_jupyter --version 0.22.0 --locked",
            "rustup component add rust-src",
            "runs/jupyter/bin/pip install nbclient==0.11.0",
        ] {
            assert!(said.contains(command), "{said}");
        }
    }

    #[test]
    fn what_a_client_writes_is_compared_and_its_errors_are_said() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("rust/lib/rustlib/src/rust/library")).unwrap();
        let kernel = script(&at("kernel"), r#"mkdir -p "$JUPYTER_PATH/kernels/rust"; test "$1" = --install"#);
        let broken = script(&at("broken"), "exit 1");
        let cells = |text: &str| {
            format!(
                r#"{{"cells": [{{"cell_type": "code", "source": "", "outputs": [{{"name": "stdout", "text": "{text}\n"}}]}}]}}"#
            )
        };
        std::fs::write(at("one.ipynb"), cells("loss 2.5")).unwrap();
        std::fs::write(at("two.ipynb"), cells("stop")).unwrap();
        // Stands in for a client whose kernel finds another figure, or fails.
        let jupyter = script(
            &at("jupyter"),
            r#"test "$1" = execute; if [ "$2" = --version ]; then exit; fi
               test -d "$JUPYTER_PATH/kernels/rust"
               test -f "$EVCXR_TMPDIR/Cargo.lock"
               test -z "$CARGO_PKG_NAME"
               if grep -q stop "$3"; then echo 'no such variable' >&2; exit 1; fi
               sed 's/2[.]5/2.6/' "$3" > "${2#--output=}""#,
        );
        let kernel = Kernel::of_parts(&kernel, &[broken, jupyter], &at("rust")).unwrap();

        let committed = Notebook::read(&at("one.ipynb")).unwrap().outputs();
        let found = kernel.outputs(&at("one.ipynb")).unwrap();
        let expected = "cell 1 printed \"loss 2.6\", committed is \"loss 2.5\"";
        assert_eq!(difference(&committed, &found).as_deref(), Some(expected));
        let said = kernel.outputs(&at("two.ipynb")).unwrap_err().to_string();
        assert!(said.contains("no such variable"), "{said}");
    }
}
