//! `camelid data convert`: conversations in another format.

use std::path::{Path, PathBuf};

use anyhow::Result;
use camelid_data::{DataFormat, WRITABLE, check_ending, write_conversations, write_json_lines};
use camelid_files::program::{self, UsageError};
use serde_json::json;

use super::reading::{Reading, format_parser, print_json, tell, tell_changes};
use crate::waiting::end_on_ctrl_c;

pub const EXAMPLES: &str = "Examples:
  camelid data convert sharegpt.json --to messages --out messages.jsonl
  camelid data convert oasst.jsonl.gz --to sharegpt --out train.parquet
  camelid data convert dolly.jsonl --to alpaca --out - | head -3";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    reading: Reading,
    /// The format to write
    #[arg(long, value_name = "FORMAT", value_parser = format_parser(WRITABLE.to_vec()))]
    to: DataFormat,
    /// Where to: .json, .jsonl (either also with .gz or .zst) or .parquet; `-` prints JSON lines
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print what was read, written and left out as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let to_stdout = args.out == Path::new("-");
    if to_stdout && args.json {
        return Err(UsageError("--json and --out - both print; give a file to --out".to_owned()).into());
    }
    if !to_stdout {
        check_ending(&args.out).map_err(UsageError::of)?;
    }
    end_on_ctrl_c()?;
    let (format, loaded) = args.reading.read()?;
    if !args.json {
        tell(&loaded.report, "read");
    }
    let written = if to_stdout {
        let mut text = Vec::new();
        let written = write_json_lines(args.to, &loaded.conversations, &mut text)??;
        program::print(text)?;
        written
    } else {
        write_conversations(args.to, &loaded.conversations, &args.out)?
    };
    if args.json {
        return print_json(&json!({
            "format": format, "read": loaded.report, "to": args.to, "out": args.out, "written": written,
        }));
    }
    let place = if to_stdout { "standard output".to_owned() } else { args.out.display().to_string() };
    camelid_files::say!("{} conversations written as {} to {place}", written.kept, args.to);
    tell_changes(&written.changed);
    Ok(())
}
