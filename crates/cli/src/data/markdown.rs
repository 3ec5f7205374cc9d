//! `camelid data markdown`: a page's HTML as Markdown.

use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use camelid_data::Mode;
use camelid_data::clean::markdown;
use camelid_files::program;

pub const EXAMPLES: &str = "Examples:
  camelid data markdown --mode fastchat-exact < page.html
  jq -c '.[].conversations[].value' pages.json | camelid data markdown --jsonl";

#[derive(clap::Args)]
pub struct Args {
    /// Whose rules hold
    #[arg(long, value_name = "MODE", value_parser = super::mode_parser(), default_value = "correct")]
    mode: Mode,
    /// A JSON string a line, both ways; a page that is refused gives `null` and is named on standard error
    #[arg(long)]
    jsonl: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    if args.jsonl {
        return lines(args.mode);
    }
    let mut page = String::new();
    io::stdin().read_to_string(&mut page).context("standard input")?;
    let mut text = markdown(&page, args.mode)?;
    // A prompt that follows should begin on a line of its own; a file gets the Markdown alone.
    if io::stdout().is_terminal() {
        text.push('\n');
    }
    program::print(text)?;
    Ok(ExitCode::SUCCESS)
}

fn lines(mode: Mode) -> Result<ExitCode> {
    let mut output = Vec::new();
    for (number, line) in (1..).zip(io::stdin().lines()) {
        let line = line.context("standard input")?;
        if line.trim().is_empty() {
            continue;
        }
        let page: String = serde_json::from_str(&line)
            .with_context(|| format!("line {number}: a JSON string is expected"))?;
        match markdown(&page, mode) {
            Ok(text) => serde_json::to_writer(&mut output, &text)?,
            Err(error) => {
                camelid_files::say!("line {number}: {error}");
                output.extend_from_slice(b"null");
            }
        }
        output.push(b'\n');
        if output.len() > 1 << 16 {
            program::print(&output)?;
            output.clear();
        }
    }
    program::print(&output)?;
    io::stdout().flush().context("standard output")?;
    Ok(ExitCode::SUCCESS)
}
