//! `camelid data stats`: how much there is.

use std::path::PathBuf;

use anyhow::Result;
use camelid_data::{Spread, Stats};
use camelid_files::program;
use camelid_model::load_tokenizer;
use camelid_report::text_table;
use serde_json::json;

use super::reading::{Reading, print_json, tell};

pub const EXAMPLES: &str = "Examples:
  camelid data stats conversations.json
  camelid data stats train.jsonl.zst --tokenizer SmolLM2-135M-Instruct --json";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    reading: Reading,
    /// Count tokens too: a model's folder, its tokenizer.json or a GGUF file
    #[arg(long, value_name = "PATH")]
    tokenizer: Option<PathBuf>,
    /// Print the figures and the report as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let tokenizer = args.tokenizer.as_deref().map(load_tokenizer).transpose()?;
    let (format, loaded) = args.reading.read()?;
    let stats = Stats::of(&loaded.conversations, tokenizer.as_ref())?;
    if args.json {
        return print_json(&json!({"format": format, "report": loaded.report, "stats": stats}));
    }
    tell(&loaded.report, "read");
    let row = |name: &str, spread: &Spread| {
        let Spread { total, min, median, mean, max } = spread;
        vec![
            name.to_owned(),
            total.to_string(),
            min.to_string(),
            median.to_string(),
            format!("{mean:.1}"),
            max.to_string(),
        ]
    };
    let mut rows = vec![
        row("turns", &stats.turns),
        row("characters", &stats.characters),
        row("  of the user", &stats.user_characters),
        row("  of the assistant", &stats.assistant_characters),
    ];
    rows.extend(stats.tokens.as_ref().map(|tokens| row("tokens", tokens)));
    let table = text_table(&["per conversation", "total", "min", "median", "mean", "max"], &rows, &[0]);
    let Stats { conversations, with_system, unanswered, first_questions, .. } = stats;
    Ok(program::print(format!(
        "{conversations} conversations, {first_questions} different first questions, {with_system} with a system \
         message, {unanswered} ending with a question\n\n{table}"
    ))?)
}
