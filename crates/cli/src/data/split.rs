//! `camelid data split`: long conversations in parts that fit a model's context.

use std::path::PathBuf;

use anyhow::Result;
use camelid_chat::Template;
use camelid_data::Mode;
use camelid_data::split_long::{SplitOptions, SplitReport, split_long};
use camelid_model::TokenizerFile;

use super::mode_parser;
use super::passing::Passing;
use super::reading::{print_json, tell};

pub const EXAMPLES: &str = "Examples:
  camelid data split clean.json --tokenizer vicuna-7b --max-length 2048 --out split.json
  camelid data split clean.json --mode fastchat-exact --tokenizer tokenizer.json --max-length 512 --out split.json
  camelid data split clean.jsonl.zst --tokenizer SmolLM2-135M-Instruct --template auto --max-length 1024 \\
      --cut-long --lineage parts.jsonl --out split.jsonl.zst";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    passing: Passing,
    /// FastChat's own rule, with the rounds that it loses, or what was meant
    #[arg(long, default_value = "correct", value_parser = mode_parser())]
    mode: Mode,
    /// What counts tokens: a model's folder, its tokenizer.json or a GGUF file
    #[arg(long, value_name = "PATH")]
    tokenizer: PathBuf,
    /// Tokens of a part at most
    #[arg(long, value_name = "TOKENS", default_value_t = 2048)]
    max_length: usize,
    /// How parts will be written for the model: a template's name, or `auto` for the tokenizer's own
    #[arg(long, value_name = "NAME", default_value = "vicuna_v1.1")]
    template: String,
    /// Cut the answer of a round that is longer than a part, instead of writing it over-long
    #[arg(long)]
    cut_long: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let file = TokenizerFile::open(&args.tokenizer)?;
    let template = template_of(&file, &args.template)?;
    let options = SplitOptions {
        mode: args.mode,
        tokenizer: &file.tokenizer,
        max_length: args.max_length,
        template: &template,
        cut_long: args.cut_long,
    };
    let passing = &args.passing;
    let report = split_long(&passing.input, &passing.out, &options, passing.options()?)?;
    if passing.json {
        return print_json(&report);
    }
    if args.mode == Mode::FastchatExact {
        // FastChat's own line.
        passing.say(&format!("#in: {}, #out: {}", report.conversations.read, report.parts))?;
    }
    say(&report, args);
    Ok(())
}

/// A template by name, or the tokenizer's own.
pub fn template_of(file: &TokenizerFile, name: &str) -> Result<Template> {
    Ok(match name {
        "auto" => file.template()?,
        name => Template::builtin(name)?,
    })
}

fn say(report: &SplitReport, args: &Args) {
    tell(&report.conversations, "read");
    let SplitReport { rounds_in, rounds_out, parts, divided, max_length, .. } = report;
    camelid_files::say!(
        "{rounds_in} rounds in, {rounds_out} out in {parts} parts of at most {max_length} tokens; \
         {divided} conversations are in several parts"
    );
    for (reason, lost) in &report.rounds_lost {
        camelid_files::say!("  {} rounds lost ({reason}): {}", lost.rounds, lost.of);
    }
    if report.longer.count > 0 {
        let remedy = if args.mode == Mode::Correct { " (--cut-long cuts them)" } else { "" };
        camelid_files::say!(
            "  {} rounds longer than that, as they are{remedy}: {}",
            report.longer.count,
            report.longer
        );
    }
    if report.cut.count > 0 {
        camelid_files::say!("  {} answers cut to fit: {}", report.cut.count, report.cut);
    }
    camelid_files::say!("wrote {}", args.passing.place());
}
