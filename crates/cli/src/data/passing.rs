//! What the steps of Vicuna's pipeline share on the command line: files in and out, bad rows, Ctrl-C.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use camelid_data::PassOptions;
use camelid_files::program;

use crate::waiting::stop_on_ctrl_c_twice_to_end;

#[derive(clap::Args)]
pub struct Passing {
    /// ShareGPT's rows: JSON, JSON lines or Parquet, packed or not; `-` is standard input
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// Where to: .json or .jsonl, also with .gz or .zst behind it, or .parquet; `-` is standard output, a
    /// row a line
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Write a line for every conversation read: what became of it and why
    #[arg(long, value_name = "FILE")]
    lineage: Option<PathBuf>,
    /// Stop at the first bad row, instead of leaving it out and counting it
    #[arg(long)]
    strict: bool,
    /// Print what was read, written and left out as JSON
    #[arg(long)]
    pub json: bool,
}

impl Passing {
    /// How the pass is made; from here on Ctrl-C ends it with nothing written.
    pub fn options(&self) -> Result<PassOptions<'_>> {
        if self.to_stdout() && self.json {
            bail!("--json and --out - both print; give a file to --out");
        }
        Ok(PassOptions {
            strict: self.strict,
            lineage: self.lineage.as_deref(),
            stop: stop_on_ctrl_c_twice_to_end()?,
        })
    }

    /// Prints a line of figures, beside the rows where those are printed.
    pub fn say(&self, line: &str) -> Result<()> {
        if self.to_stdout() {
            camelid_files::say!("{line}");
            return Ok(());
        }
        Ok(program::print(format!("{line}\n"))?)
    }

    /// Where the rows went, in words.
    pub fn place(&self) -> String {
        if self.to_stdout() { "standard output".to_owned() } else { self.out.display().to_string() }
    }

    fn to_stdout(&self) -> bool {
        self.out == Path::new("-")
    }
}
