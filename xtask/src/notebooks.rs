//! `cargo xtask notebooks`: the notebooks' code run, and its outputs written under the cells or compared with
//! those that stand there.
//!
//! The code cells of a notebook run as one program, which the package `camelid-notebooks` makes of them and
//! which needs nothing but cargo. With `--kernel` they run one by one in Jupyter instead.

mod kernel;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use camelid_files::{program::UsageError, say, stem};
use camelid_notebooks::{Notebook, Output, difference, notebooks, outputs_of};
use serde_json::Value;

use crate::cargo::cargo;
use crate::workspace::workspace;
use kernel::Kernel;

/// Options of the command.
#[derive(clap::Args)]
pub struct Arguments {
    /// Notebooks by their names [default: all]
    names: Vec<String>,
    /// Write nothing; end with exit code 1 where an output is not the committed one
    #[arg(long)]
    check: bool,
    /// Run them in Jupyter's kernel evcxr and compare, as `--check` does; what is missing for that is named
    #[arg(long)]
    kernel: bool,
}

/// Runs the notebooks that were asked for.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let paths = chosen(&arguments.names)?;
    let runner = if arguments.kernel { Runner::Kernel(Kernel::find()?) } else { Runner::Program(program()?) };
    let mut differing = Vec::new();
    for path in &paths {
        let started = std::time::Instant::now();
        let mut notebook = Notebook::read(path)?;
        let outputs = runner.outputs(path)?;
        if arguments.check || arguments.kernel {
            if let Some(difference) = difference(&notebook.outputs(), &outputs) {
                differing.push(format!("{}: {difference}", stem(path)));
            }
        } else {
            notebook.set_outputs(&outputs)?;
            notebook.write()?;
        }
        say!("{}: {:.1} s", stem(path), started.elapsed().as_secs_f64());
    }
    if !differing.is_empty() {
        bail!("outputs are not the committed ones:\n{}", differing.join("\n"));
    }
    Ok(())
}

/// The notebooks of these names, or all.
fn chosen(names: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = notebooks(&workspace().join("notebooks"))?;
    for name in names {
        if !paths.iter().any(|path| stem(path) == *name) {
            let there: Vec<String> = paths.iter().map(|path| stem(path)).collect();
            return Err(UsageError(format!(
                "there is no notebook \"{name}\"; there are {}",
                there.join(", ")
            ))
            .into());
        }
    }
    paths.retain(|path| names.is_empty() || names.contains(&stem(path)));
    Ok(paths)
}

/// What runs a notebook's cells.
enum Runner {
    /// The program of all notebooks.
    Program(PathBuf),
    /// Jupyter's kernel.
    Kernel(Kernel),
}

impl Runner {
    /// What the cells of a notebook put out.
    fn outputs(&self, notebook: &Path) -> anyhow::Result<Vec<Output>> {
        match self {
            Self::Kernel(kernel) => kernel.outputs(notebook),
            Self::Program(program) => {
                let mut command = Command::new(program);
                command.arg(stem(notebook)).current_dir(workspace().join("notebooks"));
                Ok(outputs_of(&printed(command)?))
            }
        }
    }
}

/// What a command prints; what it says otherwise is its error.
fn printed(mut command: Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("starting {name}"))?;
    if !output.status.success() {
        bail!("{name} ended with {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("what {name} printed"))
}

/// Builds the program of all notebooks and says where it is. Beside xtask, so that its dependencies
/// have the features that they have already been built with.
fn program() -> anyhow::Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--quiet", "-p", "xtask", "-p", "camelid-notebooks"]);
    build.args(["--message-format", "json-render-diagnostics"]);
    let messages = printed(build)?;
    let executable = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "camelid-notebooks").then_some(())?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executable.context("cargo names no program of camelid-notebooks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notebooks_are_chosen_by_name_and_others_refused() {
        let all = chosen(&[]).unwrap();
        assert!(all.len() >= 6, "{all:?}");
        let one = chosen(&[stem(&all[1])]).unwrap();
        assert_eq!(one, all[1..2]);
        let error = chosen(&["none".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("\"none\"") && error.contains(&stem(&all[0])), "{error}");
    }
}
