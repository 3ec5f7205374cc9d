//! `camelid data clean`: raw ShareGPT pages into conversations.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use camelid_data::Mode;
use camelid_data::clean::{Blocked, CleanError, CleanOptions, Rule, Shard, Summary, clean};
use camelid_files::{program, write_whole};
use camelid_model::load_tokenizer;

use super::clean_report::{page, text};
use super::reading::print_json;
use crate::waiting::stop_on_ctrl_c;

pub const EXAMPLES: &str = "Examples:
  camelid data clean sharegpt_html.json --mode fastchat-exact --out sharegpt_clean.json
  camelid data clean pages.jsonl.zst --out clean.jsonl.gz --lineage lineage.jsonl --skip-lang ko
  camelid data clean pages.json --out clean.parquet --report clean.html --blocked words.txt --mask-personal
  camelid data clean pages.json --out part-1.json --shard 1/4

With --mode fastchat-exact the lines of FastChat are printed: what clean_sharegpt.py counts, and what
optional_clean.py counts where an option asks for that.";

#[derive(clap::Args)]
pub struct Args {
    /// ShareGPT conversations: JSON, JSON lines or Parquet, packed or not; `-` is standard input
    #[arg(value_name = "FILE")]
    input: PathBuf,
    /// Whose rules hold
    #[arg(long, value_name = "MODE", value_parser = super::mode_parser(), default_value = "correct")]
    mode: Mode,
    /// Where to: .json or .jsonl, which .gz or .zst may follow, or .parquet; `-` prints JSON lines
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write what became of each conversation, a row each: Parquet for .parquet, else JSON lines
    #[arg(long, value_name = "FILE")]
    lineage: Option<PathBuf>,
    /// Write a page with the funnel, examples of each rule, and lengths before and after
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Count tokens for the report: a model's folder, its tokenizer.json or a GGUF file
    #[arg(long, value_name = "PATH", requires = "report")]
    tokenizer: Option<PathBuf>,
    /// Words and phrases that drop a conversation, one a line [default: openai, chatgpt]
    #[arg(long, value_name = "FILE")]
    blocked: Option<PathBuf>,
    /// Similarity from which on a conversation repeats one before it; above 1, none does
    #[arg(long, value_name = "SHARE", default_value_t = 0.8)]
    near_duplicates: f64,
    /// Put marks such as `[email]` in the places of e-mail addresses, phone numbers, keys, IP and postal addresses
    #[arg(long)]
    mask_personal: bool,
    /// Drop conversations in this language (ISO 639-1, or `unknown`); may be given again
    #[arg(long, value_name = "CODE")]
    skip_lang: Vec<String>,
    /// Keep conversations in this language only
    #[arg(long, value_name = "CODE", conflicts_with = "skip_lang")]
    keep_lang: Option<String>,
    /// Drop conversations with the same digit nine times running
    #[arg(long)]
    reduce_rep: bool,
    /// Fail at the first row that cannot be used, instead of skipping and counting it
    #[arg(long)]
    strict: bool,
    /// Of a JSON array that is cut off, use the whole rows before the cut
    #[arg(long)]
    salvage: bool,
    /// Write the rows of one part of N only, from 1/N to N/N; what becomes of a row does not depend on N
    #[arg(long, value_name = "I/N", default_value = "1/1", hide_default_value = true)]
    shard: Shard,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// What shells expect of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

pub fn run(args: &Args) -> Result<ExitCode> {
    let to_stdout = args.out == Path::new("-");
    if to_stdout && args.json {
        anyhow::bail!("--json and --out - both print; give a file to --out");
    }
    let options = CleanOptions {
        skip_languages: args.skip_lang.clone(),
        keep_language: args.keep_lang.clone().filter(|code| code != "all"),
        reduce_repetition: args.reduce_rep,
        strict: args.strict,
        salvage: args.salvage,
        shard: args.shard,
        blocked: args.blocked.as_deref().map_or_else(|| Ok(Blocked::default()), Blocked::read)?,
        near_duplicates: args.near_duplicates,
        mask_personal: args.mask_personal,
        tokenizer: args.tokenizer.as_deref().map(load_tokenizer).transpose()?,
        lineage: args.lineage.clone(),
        ..CleanOptions::new(args.mode)
    };
    if args.mode == Mode::FastchatExact && (args.blocked.is_some() || args.mask_personal) {
        anyhow::bail!("--blocked and --mask-personal change the output; they go with --mode correct");
    }
    let summary = match clean(&args.input, &args.out, &options, stop_on_ctrl_c()?) {
        Err(error @ CleanError::Interrupted) => {
            camelid_files::say!("error: {error}");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        result => result?,
    };
    tell_unreadable(&summary);
    if let Some(report) = &args.report {
        let page = page(&summary, &camelid_files::name(&args.input), &camelid_files::name(&args.out))?;
        write_whole(report, page.as_bytes())?;
    }
    if args.json {
        print_json(&summary)?;
    } else if to_stdout {
        camelid_files::say!("{}", text(&summary).trim_end());
    } else if args.mode == Mode::FastchatExact {
        let asked = args.reduce_rep || options.keep_language.is_some() || !args.skip_lang.is_empty();
        let optional = if asked { summary.fastchat_optional_line() + "\n" } else { String::new() };
        program::print(format!("{}\n{optional}", summary.fastchat_line()))?;
    } else {
        program::print(text(&summary))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Rows that are no conversations, and a file that is cut off, are said whatever else is printed.
fn tell_unreadable(summary: &Summary) {
    if let Some(cut_off) = &summary.cut_off {
        camelid_files::say!("{cut_off}; the rows before it are used");
    }
    if let Some(dropped) = summary.dropped.get(&Rule::Unreadable) {
        let named = dropped
            .examples
            .iter()
            .map(|example| format!("{}: {}", example.name, example.detail.as_deref().unwrap_or_default()));
        let named = named.collect::<Vec<_>>().join("; ");
        let more = if dropped.conversations > dropped.examples.len() as u64 { "; …" } else { "" };
        let rows = if dropped.conversations == 1 { "row" } else { "rows" };
        camelid_files::say!("{} {rows} skipped that cannot be used: {named}{more}", dropped.conversations);
    }
}
