//! `camelid data filter`: conversations that a rule leaves out.

use anyhow::Result;
use camelid_data::{FilterRule, filter};
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::passing::Passing;
use super::reading::{print_json, tell};

pub const EXAMPLES: &str = "Examples:
  camelid data filter split.json --rule wrong-lists --out filtered.json
  camelid data filter split.jsonl.gz --rule restarting-lists --lineage why.jsonl --out filtered.jsonl.gz";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    passing: Passing,
    /// Leave out conversations with lists numbered 1, 1, …: `wrong-lists` as FastChat finds them, which a
    /// digit 2 between the items hides; `restarting-lists` by the items themselves, outside of code
    #[arg(long, value_parser = rule_parser())]
    rule: FilterRule,
}

fn rule_parser() -> impl TypedValueParser<Value = FilterRule> {
    PossibleValuesParser::new(["wrong-lists", "restarting-lists"]).map(|name| match name.as_str() {
        "wrong-lists" => FilterRule::WrongLists,
        _ => FilterRule::RestartingLists,
    })
}

pub fn run(args: &Args) -> Result<()> {
    let passing = &args.passing;
    let report = filter(&passing.input, &passing.out, args.rule, passing.options()?)?;
    if passing.json {
        return print_json(&report);
    }
    // FastChat's own line.
    passing.say(&format!("#in: {}, #out: {}", report.read, report.kept))?;
    tell(&report, "read");
    camelid_files::say!("wrote {}", passing.place());
    Ok(())
}
