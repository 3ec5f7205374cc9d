//! `camelid evolve export`: a lineage as training data.

use std::path::PathBuf;

use anyhow::Result;
use camelid_chat::{Conversation, Message, Role};
use camelid_data::{DataFormat, write_conversations};
use camelid_evolve::{Mix, lineage, mix};

use super::folder;
use crate::data::reading::format_parser;

pub const EXAMPLES: &str = "Examples:
  camelid evolve export runs/evolved --format alpaca --out evolved.json
  camelid evolve export runs/evolved --format messages --mix last --out last.parquet
  camelid evolve export runs/evolved --format sharegpt --most 70000 --seed 1 --out evolved.jsonl";

#[derive(clap::Args)]
pub struct Args {
    /// Folder of a run, or its lineage.jsonl
    #[arg(value_name = "DIR")]
    run: PathBuf,
    /// The format to write
    #[arg(long, value_name = "FORMAT", default_value = "alpaca",
        value_parser = format_parser(vec![DataFormat::Alpaca, DataFormat::Sharegpt, DataFormat::Messages]))]
    format: DataFormat,
    /// all: seeds and every round; last: what lives of each seed in the end; or the number of a round
    #[arg(long, default_value = "all")]
    mix: Mix,
    /// Seed of the order
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write the first so many of the order
    #[arg(long, value_name = "COUNT")]
    most: Option<usize>,
    /// Where to: .json, .jsonl or .parquet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub fn run(args: &Args) -> Result<()> {
    let rows = lineage::read(&folder::lineage_of(&args.run))?;
    let chosen = mix(&rows, args.mix, args.seed, args.most)?;
    let conversation = |row: &&camelid_evolve::Row| Conversation {
        id: row.id.clone(),
        messages: vec![
            Message::new(Role::User, row.question()),
            Message::new(Role::Assistant, row.response.clone().unwrap_or_default()),
        ],
    };
    let conversations: Vec<Conversation> = chosen.iter().map(conversation).collect();
    let written = write_conversations(args.format, &conversations, &args.out)?;
    camelid_files::say!(
        "{} of {} rows written as {} to {}",
        written.kept,
        rows.len(),
        args.format,
        args.out.display()
    );
    Ok(())
}
