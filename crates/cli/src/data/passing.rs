//! What the steps of Vicuna's pipeline share on the command line: files in and out, bad rows, Ctrl-C.

use std::path::PathBuf;

use anyhow::Result;
use camelid_data::PassOptions;

use crate::waiting::stop_on_ctrl_c_twice_to_end;

#[derive(clap::Args)]
pub struct Passing {
    /// ShareGPT's rows: JSON, JSON lines or Parquet, packed or not; `-` is standard input
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// Where to: .json or .jsonl, also with .gz or .zst behind it
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
        Ok(PassOptions {
            strict: self.strict,
            lineage: self.lineage.as_deref(),
            stop: stop_on_ctrl_c_twice_to_end()?,
        })
    }
}
