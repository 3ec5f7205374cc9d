//! Where a report goes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use camelid_files::{program, write_whole};
use camelid_report::{Tabular, write_parquet};

#[derive(clap::Args)]
pub struct Outputs {
    /// Print the whole report as JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Write the main table as Parquet
    #[arg(long, value_name = "OUT")]
    parquet: Option<PathBuf>,
    /// Write the report as one HTML page with its plots
    #[arg(long, value_name = "OUT")]
    html: Option<PathBuf>,
}

impl Outputs {
    /// That the files can be written where they are to go, and that none of them is an input.
    pub fn check(&self, inputs: &[PathBuf]) -> Result<()> {
        for (option, path) in [("--parquet", &self.parquet), ("--html", &self.html)] {
            let Some(path) = path else { continue };
            let shown = path.display();
            let folder = match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            if !folder.is_dir() {
                bail!("{option} {shown}: the folder {} does not exist", folder.display());
            }
            if path.is_dir() {
                bail!("{option} {shown} is a folder, expected the name of a file");
            }
            let same = |input: &PathBuf| input.canonicalize().ok() == path.canonicalize().ok();
            if path.exists() && inputs.iter().any(same) {
                bail!("{option} {shown} is one of the files to read; name another");
            }
        }
        Ok(())
    }

    /// Writes the files and prints the tables, or the JSON.
    pub fn give(&self, report: &impl Tabular) -> Result<()> {
        if let Some(path) = &self.parquet {
            write_parquet(path, &mut report.frame().context("cannot make the table")?)?;
        }
        if let Some(path) = &self.html {
            write_whole(path, report.page()?.as_bytes())?;
        }
        let mut text = if self.json { serde_json::to_string_pretty(report)? } else { report.text() };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        program::print(text)?;
        for path in [&self.parquet, &self.html].into_iter().flatten() {
            camelid_files::say!("wrote {}", path.display());
        }
        Ok(())
    }
}

/// The command that runs now, as a shell would take it.
pub fn command_line() -> String {
    let quoted = |argument: String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,+@%".contains(c);
        if !argument.is_empty() && argument.chars().all(plain) {
            argument
        } else {
            format!("'{}'", argument.replace('\'', "'\\''"))
        }
    };
    let arguments =
        std::env::args_os().skip(1).map(|argument| quoted(argument.to_string_lossy().into_owned()));
    std::iter::once("camelid".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}
