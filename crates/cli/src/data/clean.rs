//! `camelid data clean`: raw ShareGPT pages into conversations.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use camelid_data::clean::{CleanError, CleanOptions, Mode, Rule, Shard, Summary, clean};
use camelid_files::program;
use camelid_report::text_table;

use super::reading::print_json;

pub const EXAMPLES: &str = "Examples:
  camelid data clean sharegpt_html.json --mode fastchat-exact --out sharegpt_clean.json
  camelid data clean pages.jsonl.zst --out clean.jsonl.gz --lineage lineage.jsonl --skip-lang ko
  camelid data clean pages.json --out part-1.json --shard 1/4

With --mode fastchat-exact the lines of FastChat are printed: what clean_sharegpt.py counts, and what
optional_clean.py counts where an option asks for that.";

#[derive(clap::Args)]
pub struct Args {
    /// ShareGPT conversations: JSON, JSON lines or Parquet, packed or not; `-` is standard input
    #[arg(value_name = "FILE")]
    input: PathBuf,
    /// Whose rules hold
    #[arg(long, value_name = "MODE", value_parser = super::mode_parser(), default_value = "fastchat-exact")]
    mode: Mode,
    /// Where to: .json or .jsonl, and .gz or .zst behind it; `-` prints JSON lines
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write what became of each conversation, one JSON line each
    #[arg(long, value_name = "FILE")]
    lineage: Option<PathBuf>,
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

static STOP: AtomicBool = AtomicBool::new(false);

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
        lineage: args.lineage.clone(),
        ..CleanOptions::new(args.mode)
    };
    ctrlc::set_handler(|| STOP.store(true, Ordering::SeqCst)).context("cannot catch Ctrl-C")?;
    let summary = match clean(&args.input, &args.out, &options, &STOP) {
        Err(error @ CleanError::Interrupted) => {
            eprintln!("error: {error}");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        result => result?,
    };
    tell_unreadable(&summary);
    if args.json {
        print_json(&summary)?;
    } else if to_stdout {
        eprint!("{}", text(&summary));
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
        eprintln!("{cut_off}; the rows before it are used");
    }
    if let Some(dropped) = summary.dropped.get(&Rule::Unreadable) {
        let named = dropped
            .examples
            .iter()
            .map(|example| format!("{}: {}", example.name, example.detail.as_deref().unwrap_or_default()));
        let named = named.collect::<Vec<_>>().join("; ");
        let more = if dropped.conversations > dropped.examples.len() as u64 { "; …" } else { "" };
        eprintln!("{} rows skipped that cannot be used: {named}{more}", dropped.conversations);
    }
}

/// The funnel as a table.
fn text(summary: &Summary) -> String {
    let share = |count: u64| format!("{:.1} %", 100.0 * count as f64 / summary.total.max(1) as f64);
    let mut rows = vec![vec![
        "read".to_owned(),
        summary.total.to_string(),
        String::new(),
        summary.rounds_in.to_string(),
    ]];
    for (rule, dropped) in &summary.dropped {
        let count = dropped.conversations;
        rows.push(vec![
            rule.words().to_owned(),
            format!("−{count}"),
            share(count),
            format!("−{}", dropped.rounds),
        ]);
    }
    for (rule, left_out) in &summary.left_out {
        let what = format!("{}, left out of {} kept", rule.as_str(), left_out.conversations);
        rows.push(vec![what, String::new(), String::new(), format!("−{}", left_out.rounds)]);
    }
    let kept = summary.kept;
    rows.push(vec!["kept".to_owned(), kept.to_string(), share(kept), summary.rounds_out.to_string()]);
    text_table(&["", "conversations", "share", "rounds"], &rows, &[0])
}
