//! `camelid eval agreement`: whether judges say the same.

use anyhow::Result;
use camelid_ratings::Needs;
use camelid_ratings::report::{AgreementReport, JudgeGroup};

use super::battle_files::{BattleFiles, spinner};
use super::outputs::{Outputs, command_line};

pub const EXAMPLES: &str = "\
Examples:
  camelid eval agreement gpt-4_pair.jsonl human_judgments.parquet
  camelid eval agreement votes.csv --group experts=expert_*,author_* --turn 1 --json";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    battles: BattleFiles,
    /// Judges compared as one kind: NAME=JUDGE[,JUDGE…], `*` at the end for anything; may be given several
    /// times [default: human=expert_*,author_*,arena_user_*,human*; every other judge alone]
    #[arg(long, value_name = "NAME=JUDGES", value_parser = group)]
    group: Vec<JudgeGroup>,
    #[command(flatten)]
    outputs: Outputs,
}

fn group(text: &str) -> Result<JudgeGroup, String> {
    let (name, judges) = text.split_once('=').ok_or("expected NAME=JUDGE[,JUDGE…]")?;
    let judges: Vec<String> = judges.split(',').map(|judge| judge.trim().to_owned()).collect();
    if name.is_empty() || judges.iter().any(String::is_empty) {
        return Err("expected NAME=JUDGE[,JUDGE…], and neither may be empty".to_owned());
    }
    Ok(JudgeGroup { name: name.to_owned(), judges })
}

pub fn run(args: &Args) -> Result<()> {
    args.outputs.check(&args.battles.files)?;
    let sources =
        args.battles.read(Needs { questions: true, judges: true, turns: true, ..Needs::default() })?;
    let spinner = spinner();
    spinner.set_message("comparing votes");
    let humans = [JudgeGroup::humans()];
    let groups = if args.group.is_empty() { &humans[..] } else { &args.group };
    let report = AgreementReport::new(&sources, &args.battles.selection(), groups, command_line());
    spinner.finish_and_clear();
    args.outputs.give(&report?)
}
