//! `camelid data inspect`: conversations as a model is trained on them, with the loss marked and proven.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail};
use camelid_data::inspect::{InspectReport, Inspected, Inspector, PageSettings, page, visible};
use camelid_data::{BlankTurns, DataError};
use camelid_files::{program, write_whole};
use camelid_model::TokenizerFile;

use super::reading::{Reading, tell};
use super::split::template_of;
use crate::eval::command_line;
use crate::waiting::stop_on_ctrl_c_twice_to_end;

pub const EXAMPLES: &str = "Examples:
  camelid data inspect split.json --template vicuna_v1.1 --tokenizer vicuna-7b --limit 3
  camelid data inspect split.json --tokenizer vicuna-7b --max-length 2048 --json > labels.jsonl
  camelid data inspect split.json --tokenizer vicuna-7b --fastchat --html masks.html
  camelid data inspect talks.jsonl --template auto --tokenizer SmolLM2-135M-Instruct";

/// Conversations that are inspected before those are printed.
const BATCH: usize = 512;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    reading: Reading,
    /// How they are written for the model: a template's name, or `auto` for the tokenizer's own
    #[arg(long, value_name = "NAME", default_value = "vicuna_v1.1")]
    template: String,
    /// A model's folder, its tokenizer.json or a GGUF file
    #[arg(long, value_name = "PATH")]
    tokenizer: PathBuf,
    /// Tokens of a conversation at most; what is longer is cut, as for training
    #[arg(long, value_name = "TOKENS", default_value_t = 2048)]
    max_length: usize,
    /// Print `{"id", "ids", "labels"}` a line, and the summary on standard error
    #[arg(long)]
    json: bool,
    /// Write a page with the loss marked
    #[arg(long, value_name = "OUT")]
    html: Option<PathBuf>,
    /// Show at most so many conversations, on the terminal and on the page; all are counted
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Count what FastChat's trainer would have made of the same conversations: those it silences
    #[arg(long)]
    fastchat: bool,
    /// Stop where a row was dropped or a conversation is refused, instead of counting it
    #[arg(long)]
    strict: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let file = TokenizerFile::open(&args.tokenizer)?;
    let template = template_of(&file, &args.template)?;
    let inspector = Inspector::new(&template, &file.tokenizer, args.max_length, args.fastchat)?;
    let (_, loaded) = args.reading.read_with(|options| options.blank_turns = BlankTurns::Keep)?;
    if args.strict && loaded.report.dropped_in_all() > 0 {
        bail!("a row cannot be used, and --strict was given: {}", loaded.report);
    }
    tell(&loaded.report, "read");

    let stop = stop_on_ctrl_c_twice_to_end()?;
    let mut report = InspectReport::new(args.fastchat);
    let mut shown: Vec<Inspected> = Vec::new();
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    for batch in loaded.conversations.chunks(BATCH) {
        let mut text = String::new();
        for (conversation, inspected) in batch.iter().zip(inspector.inspect_all(batch)) {
            let inspected = match inspected {
                Ok(inspected) => inspected,
                Err(error) if args.strict => return Err(error.into()),
                Err(error) => {
                    report.refuse(&conversation.id, &error);
                    continue;
                }
            };
            report.add(&inspected);
            if args.json {
                writeln!(text, "{}", serde_json::to_string(&inspected)?)?;
            } else if shown.len() < args.limit && args.html.is_none() {
                text.push_str(&marked(&inspected, colours));
            }
            if shown.len() < args.limit {
                shown.push(inspected);
            }
        }
        program::print(text)?;
        if stop.load(Ordering::SeqCst) {
            return Err(DataError::Stopped.into());
        }
    }
    for line in report.lines() {
        camelid_files::say!("{line}");
    }
    if let Some(path) = &args.html {
        let title = args.reading.title();
        let command = command_line();
        let settings = PageSettings {
            title: &title,
            template: template.name(),
            max_length: args.max_length,
            command: &command,
        };
        let page = page(&report, &shown, settings).context("cannot make the page")?;
        write_whole(path, page.as_bytes())?;
        camelid_files::say!("wrote {}", path.display());
    }
    if report.differing.count > 0 {
        bail!(
            "{} conversations have loss where their text has no answer, or none where it has",
            report.differing.count
        );
    }
    Ok(())
}

/// A conversation for a terminal: what carries loss is green, the rest dim; without colours it stands
/// between ⟦ and ⟧.
fn marked(inspected: &Inspected, colours: bool) -> String {
    let about = &inspected.about;
    let mut text = format!("── {} ({} of {} tokens)\n", inspected.id, inspected.ids.len(), about.full_len);
    for run in &about.runs {
        let words: String = run.tokens.iter().map(|token| visible(token)).collect();
        match (colours, run.loss) {
            (true, true) => text += &format!("\x1b[1;32m{words}\x1b[0m"),
            (true, false) => text += &format!("\x1b[2m{words}\x1b[0m"),
            (false, true) => text += &format!("⟦{words}⟧"),
            (false, false) => text += &words,
        }
    }
    text + "\n\n"
}
