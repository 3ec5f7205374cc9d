//! `camelid data decontaminate`: conversations without those that share text with test sets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use camelid_data::catalogue::{self, FetchOptions};
use camelid_data::{DataFormat, WRITABLE, write_conversations};
use camelid_evolve::{ContaminationSettings, Decontaminator, Hit, SHORTEST, TestItem};
use camelid_files::{Records, stem, write_whole};
use serde::Serialize;
use serde_json::{Value, json};

use super::reading::{Reading, format_parser, print_json, tell};

pub const EXAMPLES: &str = "Examples:
  camelid data decontaminate evolved.json --against humaneval --against gsm8k --out clean.json
  camelid data decontaminate chats.jsonl --against test.jsonl --ngram 8 --hits hits.jsonl --out clean.jsonl";

/// Short names of test sets in the catalogue.
const NAMES: [(&str, &str); 6] = [
    ("humaneval", "human-eval"),
    ("mbpp", "mbpp"),
    ("gsm8k", "gsm8k-test"),
    ("mt-bench", "mt-bench-questions"),
    ("vicuna", "vicuna-questions"),
    ("wizardlm", "wizardlm-testset"),
];
/// Fields that hold an item's question, the first that is there.
const QUESTION: [&str; 8] =
    ["question", "prompt", "problem", "turns", "text", "instruction", "Instruction", "query"];
/// Fields that hold an item's name.
const ID: [&str; 5] = ["task_id", "question_id", "id", "idx", "unique_id"];
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
        items.extend(test_set(name, &fetch)?);
    }
    let settings = ContaminationSettings { ngram: args.ngram, share: args.share };
    let decontaminator = Decontaminator::new(items, settings)?;
    let short = decontaminator.too_short().count();
    if short > 0 {
        camelid_files::say!("{short} test items have fewer than {SHORTEST} words and are not looked for");
    }
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

/// The items of a test set of the catalogue or in a file.
fn test_set(name: &str, fetch: &FetchOptions) -> Result<Vec<TestItem>> {
    let listed = NAMES.iter().find(|(short, _)| *short == name).map(|(_, listed)| *listed);
    let (set, path) = match listed {
        Some(listed) => (name.to_owned(), catalogue::fetch(listed, fetch)?),
        None if Path::new(name).exists() => (stem(Path::new(name)), PathBuf::from(name)),
        None => {
            let path = catalogue::fetch(name, fetch)
                .with_context(|| format!("--against {name}: no file, and no test set of the catalogue"))?;
            (name.to_owned(), path)
        }
    };
    let mut items = Vec::new();
    let mut without = 0;
    Records::open(&path)?.for_each(|row| {
        let Ok(row) = row else {
            without += 1;
            return;
        };
        let text = QUESTION.iter().find_map(|field| question(row.fields.get(*field)?));
        let Some(text) = text else {
            without += 1;
            return;
        };
        let id = ID.iter().find_map(|field| row.fields.get(*field)).map(|id| match id {
            Value::String(id) => id.clone(),
            other => other.to_string(),
        });
        items.push(TestItem { set: set.clone(), id: id.unwrap_or_else(|| row.place.to_string()), text });
    })?;
    if items.is_empty() {
        bail!(
            "{}: no row has a question; expected one of the fields {}",
            path.display(),
            QUESTION.join(", ")
        );
    }
    if without > 0 {
        camelid_files::say!("{}: {without} rows have no question and are not looked for", path.display());
    }
    Ok(items)
}

/// A question: a text, or the turns of one.
fn question(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(turns) => {
            let turns: Option<Vec<&str>> = turns.iter().map(Value::as_str).collect();
            Some(turns?.join("\n"))
        }
        _ => None,
    }
}
