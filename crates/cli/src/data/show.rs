//! `camelid data show`: conversations as the loaders read them.

use std::fmt::Write;

use anyhow::{Result, bail};
use camelid_chat::Conversation;
use camelid_files::program;
use serde_json::json;

use super::reading::{Reading, print_json, tell};

pub const EXAMPLES: &str = "Examples:
  camelid data show conversations.json
  camelid data show oasst.jsonl.gz --all-paths --lang en --limit 2
  camelid data show train.parquet --id 7f3a --json
  zcat rows.jsonl.gz | camelid data show - --format messages";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    reading: Reading,
    /// Print at most so many conversations
    #[arg(long, value_name = "N", default_value_t = 5)]
    limit: usize,
    /// Print the conversation with this id only; may be given again
    #[arg(long)]
    id: Vec<String>,
    /// Print conversations and the report as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let (format, loaded) = args.reading.read()?;
    if !args.json {
        tell(&loaded.report, "read");
    }
    let all = &loaded.conversations;
    if let Some(missing) = args.id.iter().find(|id| !all.iter().any(|conversation| conversation.id == **id)) {
        bail!("no conversation has the id `{missing}`; the first of {} is `{}`", all.len(), all[0].id);
    }
    let wanted = |conversation: &&Conversation| args.id.is_empty() || args.id.contains(&conversation.id);
    let shown: Vec<&Conversation> = all.iter().filter(wanted).take(args.limit).collect();
    if args.json {
        return print_json(&json!({"format": format, "report": loaded.report, "conversations": shown}));
    }
    let mut text = String::new();
    for conversation in &shown {
        writeln!(text, "── {} ({} messages)", conversation.id, conversation.messages.len())?;
        for message in &conversation.messages {
            writeln!(text, "{}: {}", message.role, message.content.trim_end())?;
        }
        text.push('\n');
    }
    program::print(text)?;
    let more = all.iter().filter(wanted).count() - shown.len();
    if more > 0 {
        camelid_files::say!("{more} more; --limit shows more of them");
    }
    Ok(())
}
