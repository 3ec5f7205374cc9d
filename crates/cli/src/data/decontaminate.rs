//! `camelid data decontaminate`: conversations without those that share text with test sets.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use camelid_data::catalogue::FetchOptions;
use camelid_data::{DataFormat, WRITABLE, write_conversations};
use camelid_evolve::{ContaminationSettings, Decontaminator, Hit};
use camelid_files::write_whole;
use serde::Serialize;
use serde_json::json;

use super::reading::{Reading, format_parser, print_json, tell};
use super::test_sets;
use crate::waiting::end_on_ctrl_c;

pub const EXAMPLES: &str = "Examples:
  camelid data decontaminate evolved.json --against humaneval --against gsm8k --out clean.json
  camelid data decontaminate chats.jsonl --against test.jsonl --ngram 8 --hits hits.jsonl --out clean.jsonl";

/// Hits that are printed.
const SHOWN: usize = 5;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    reading: Reading,
    /// Test set: humaneval, mbpp, gsm8k, mt-bench, vicuna, wizardlm, another name of the catalogue, or a
    /// file of JSON rows with a question each; may be given again
    #[arg(long, required = true, value_name = "NAME|FILE")]
    against: Vec<String>,
    /// Words in a row that must not be shared
    #[arg(long, default_value_t = ContaminationSettings::default().ngram)]
    ngram: usize,
    /// Share of a test item's shorter runs of words that must not be reached
    #[arg(long, default_value_t = ContaminationSettings::default().share)]
    share: f64,
    /// Similarity of a whole text to a test item that must not be reached, from 0 to 1, by MinHash over runs of five
    /// words [default: not asked]
    #[arg(long, value_name = "SHARE")]
    similarity: Option<f64>,
    /// The format to write [default: the one read]
    #[arg(long, value_name = "FORMAT", value_parser = format_parser(WRITABLE.to_vec()))]
    to: Option<DataFormat>,
    /// Where to: .json, .jsonl or .parquet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write what was found, a hit a line
    #[arg(long, value_name = "FILE")]
    hits: Option<PathBuf>,
    /// Print the counts as JSON
    #[arg(long)]
    json: bool,
    /// Use test sets that are cached or mirrored; fetch nothing
    #[arg(long)]
    offline: bool,
}

/// A conversation that was taken out, and why.
#[derive(Serialize)]
struct Found<'a> {
    conversation: &'a str,
    turn: usize,
    #[serde(flatten)]
    hit: Hit,
}

pub fn run(args: &Args) -> Result<()> {
    let mut fetch = FetchOptions::from_env()?;
    fetch.offline |= args.offline;
    let mut items = Vec::new();
    for name in &args.against {
        items.extend(test_sets::items(name, &fetch).with_context(|| format!("--against {name}"))?);
    }
    let settings =
        ContaminationSettings { ngram: args.ngram, share: args.share, similarity: args.similarity };
    let decontaminator = Decontaminator::new(items, settings)?;
    test_sets::tell_short(&decontaminator);
    end_on_ctrl_c()?;
    let (format, loaded) = args.reading.read()?;
    if !args.json {
        tell(&loaded.report, "read");
    }
    let mut found = Vec::new();
    let mut kept = Vec::new();
    for conversation in &loaded.conversations {
        let hit = conversation.messages.iter().enumerate().find_map(|(turn, message)| {
            Some((turn + 1, decontaminator.hits(&message.content).into_iter().next()?))
        });
        match hit {
            Some((turn, hit)) => found.push(Found { conversation: &conversation.id, turn, hit }),
            None => kept.push(conversation.clone()),
        }
    }
    if let Some(path) = &args.hits {
        let lines = found.iter().map(|found| Ok(serde_json::to_string(found)? + "\n"));
        write_whole(path, lines.collect::<Result<String>>()?.as_bytes())?;
    }
    if kept.is_empty() {
        bail!("every conversation shares text with a test set: nothing is written to {}", args.out.display());
    }
    let to = args.to.unwrap_or(if WRITABLE.contains(&format) { format } else { DataFormat::Messages });
    let written = write_conversations(to, &kept, &args.out)?;
    let mut by_set: BTreeMap<&str, usize> = BTreeMap::new();
    for found in &found {
        *by_set.entry(&found.hit.set).or_default() += 1;
    }
    if args.json {
        return print_json(&json!({
            "read": loaded.report, "out": args.out, "written": written, "contaminated": found.len(),
            "by_set": by_set, "hits": found,
        }));
    }
    for found in found.iter().take(SHOWN) {
        camelid_files::say!("  {}, turn {}: {}", found.conversation, found.turn, found.hit);
    }
    let by_set: Vec<String> = by_set.iter().map(|(set, count)| format!("{count} {set}")).collect();
    let by_set = if by_set.is_empty() { String::new() } else { format!(" ({})", by_set.join(", ")) };
    camelid_files::say!(
        "{} conversations share text with a test set{by_set}; {} written as {to} to {}",
        found.len(),
        written.kept,
        args.out.display()
    );
    Ok(())
}
