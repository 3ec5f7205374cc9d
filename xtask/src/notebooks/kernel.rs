//! Jupyter's kernel for Rust, and a client that has it run a notebook.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use camelid_files::write_whole;
use serde_json::json;

use super::printed;

/// The kernel that the notebooks were run with, and its client.
const KERNEL: &str = "cargo install evcxr_jupyter --version 0.22.0 --locked";
const CLIENT: &str = "python3 -m pip install nbclient==0.11.0";

/// Runs a notebook in a kernel named `rust` and prints it with its outputs.
const RUN: &str = "
import sys, nbformat, nbclient
path, folder = sys.argv[1:]
notebook = nbformat.read(path, as_version=4)
nbclient.NotebookClient(notebook, kernel_name='rust', timeout=1800, resources={'metadata': {'path': folder}}).execute()
print(nbformat.writes(notebook))
";

/// A kernel and its client, both found.
pub struct Kernel {
    python: PathBuf,
    /// Where Jupyter is told of the kernel, for as long as this lives.
    told: tempfile::TempDir,
}

impl Kernel {
    /// Looks for both on this machine; what is missing is an error that says how to have it.
    pub fn find(python: Option<&Path>) -> anyhow::Result<Self> {
        let of_variable = std::env::var_os("CAMELID_NOTEBOOK_PYTHON").map(PathBuf::from);
        let python = python.map(Path::to_owned).or(of_variable).unwrap_or_else(|| "python3".into());
        let answers = |program: &Path, arguments: &[&str]| {
            Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
        };
        let evcxr = Path::new("evcxr_jupyter");
        let parts = [
            (answers(evcxr, &["--help"]), "the kernel evcxr_jupyter", KERNEL),
            (answers(&python, &["-c", "import nbclient"]), "its client nbclient", CLIENT),
        ];
        let missing: Vec<String> = parts
            .iter()
            .filter(|(is_there, ..)| !is_there)
            .map(|(_, what, how)| format!("{what} is missing: {how}"))
            .collect();
        if !missing.is_empty() {
            bail!("{}", missing.join("\n"));
        }
        let told = tempfile::tempdir().context("a folder for the kernel's description")?;
        let folder = told.path().join("kernels/rust");
        std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let description = json!({
            "argv": [evcxr, "--control_file", "{connection_file}"], "display_name": "Rust", "language": "rust",
        });
        write_whole(&folder.join("kernel.json"), description.to_string().as_bytes())?;
        Ok(Self { python, told })
    }

    /// The notebook as it is after a run, in JSON.
    pub fn run(&self, notebook: &Path) -> anyhow::Result<String> {
        let folder = notebook.parent().context("the notebook's folder")?;
        let mut command = Command::new(&self.python);
        command.args(["-c", RUN]).arg(notebook).arg(folder).env("JUPYTER_PATH", self.told.path());
        printed(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_command_that_brings_it() {
        let Err(error) = Kernel::find(Some(Path::new("/nowhere/python"))) else {
            panic!("there is no such Python");
        };
        assert!(error.to_string().contains(&format!("nbclient is missing: {CLIENT}")), "{error}");
    }
}
