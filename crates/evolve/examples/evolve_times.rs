//! How long and how much memory the work beside the models takes:
//! `cargo run --release -p camelid-evolve --example evolve_times -- eliminate [ROWS]` judges so many made-up
//! rows, 250,000 unless given, by every rule, against each other and against 7,000 test items, and
//! `… evolve_times -- rouge FILE` filters instructions, a line each, as Alpaca does
//! (`benches/peers/rouge_filter.py` makes the file).

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use camelid_evolve::{
    ContaminationSettings, Decontaminator, Duplicates, Ended, OperatorSet, Rule, RuleSettings, TestItem,
};
use camelid_tests::MadeUp;
use camelid_text::rouge::Earlier;

/// HumanEval, MBPP, GSM8K and MATH have 164 + 500 + 1,319 + 5,000.
const ITEMS: usize = 6_983;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["eliminate"] => eliminate(250_000)?,
        ["eliminate", rows] => eliminate(rows.parse()?)?,
        ["rouge", file] => rouge(file)?,
        _ => return Err("expected `eliminate [ROWS]` or `rouge FILE`".into()),
    }
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        println!("peak memory {}", peak.unwrap_or("unknown").trim());
    }
    Ok(())
}

/// A row: parent, instruction, response, and the line of descent.
type Made = ([String; 3], String);

fn eliminate(rows: usize) -> Result<(), Box<dyn Error>> {
    let mut made_up = MadeUp::new(1);
    let items: Vec<TestItem> = (0..ITEMS)
        .map(|id| TestItem { set: "made up".into(), id: id.to_string(), text: made_up.text(30..=90) })
        .collect();
    let mut made: Vec<Made> = Vec::new();
    for at in 0..rows {
        let parent = made_up.text(10..=40);
        // A row in ten is another's, a row in fifty a test item, a row in twenty an apology.
        let instruction = match at % 100 {
            0..10 if at > 0 => format!("{} {}", made[made_up.below(at)].0[1], made_up.text(1..=3)),
            10..12 => items[made_up.below(ITEMS)].text.clone(),
            _ => format!("{parent} {}", made_up.text(10..=20)),
        };
        let response = if at % 20 == 13 { "I'm sorry, I cannot.".to_owned() } else { made_up.text(40..=300) };
        made.push(([parent, instruction, response], at.to_string()));
    }
    let bytes: usize = made.iter().flat_map(|(texts, _)| texts).map(String::len).sum();
    println!("{rows} rows, {} MB of text, {ITEMS} test items", bytes / 1_000_000);
    let began = Instant::now();
    let judged = Judge::new(items)?.judge(&made)?;
    let seconds = began.elapsed().as_secs_f64();
    println!("{seconds:.1} s, {:.0} rows a second", rows as f64 / seconds);
    for (rule, count) in judged {
        println!("{count} {}", rule.map_or("live".to_owned(), |rule| format!("ended by {rule}")));
    }
    Ok(())
}

/// What a run judges rows with.
struct Judge {
    rules: RuleSettings,
    names: Vec<String>,
    living: Duplicates,
    against: Decontaminator,
}

impl Judge {
    fn new(items: Vec<TestItem>) -> Result<Self, Box<dyn Error>> {
        let rules = RuleSettings::default();
        Ok(Self {
            living: Duplicates::new(rules.near_duplicates)?,
            rules,
            names: OperatorSet::own("general")?.names,
            against: Decontaminator::new(items, ContaminationSettings::default())?,
        })
    }

    /// How many rows each rule ends, in the order in which a run asks them.
    fn judge(&mut self, made: &[Made]) -> Result<BTreeMap<Option<Rule>, usize>, Box<dyn Error>> {
        let mut counts = BTreeMap::new();
        for ([parent, instruction, response], line) in made {
            let contaminated =
                |text: &str| (!self.against.hits(text).is_empty()).then_some(Rule::Contaminated);
            let ended = |ended: Option<Ended>| ended.map(|ended| ended.rule);
            let mut rule = ended(self.rules.of_instruction(instruction, parent, &self.names, false));
            rule = rule.or_else(|| contaminated(instruction));
            if rule.is_none() && self.living.of(instruction, line)?.is_some() {
                rule = Some(Rule::Duplicate);
            }
            rule = rule.or_else(|| ended(self.rules.of_response(response, instruction, false)));
            rule = rule.or_else(|| contaminated(response));
            if rule.is_none() {
                self.living.add(instruction, line)?;
            }
            *counts.entry(rule).or_default() += 1;
        }
        Ok(counts)
    }
}

fn rouge(file: &str) -> Result<(), Box<dyn Error>> {
    let texts = std::fs::read_to_string(file)?;
    let began = Instant::now();
    let mut earlier = Earlier::new(0.7);
    let mut dropped = Vec::new();
    for (at, text) in texts.lines().enumerate() {
        match earlier.like(text) {
            Some(_) => dropped.push(at),
            None => drop(earlier.add(text)),
        }
    }
    println!("{} kept, {} dropped, {:.2} s", earlier.len(), dropped.len(), began.elapsed().as_secs_f64());
    println!("{dropped:?}");
    Ok(())
}
