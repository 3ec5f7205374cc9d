//! Whole evolutions against a model whose faults are known.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use camelid_chat::requests::{RequestStore, RunError, RunSettings};
use camelid_chat::{GenerateOptions, GeneratedText, Message, StopReason, TextGenerator};
use camelid_evolve::{
    Desk, Evolution, EvolutionSettings, EvolveError, Law, Model, Models, OperatorSet, Row, Rule,
    RuleSettings, Seed, lineage,
};
use camelid_files::digest;

/// A model that evolves, compares and answers by rule, and errs where its request's digest says so.
/// It raises `stop` at one request of its life, as Ctrl-C or a kill would.
struct Scripted<'a> {
    asked: AtomicUsize,
    stop_at: usize,
    stop: &'a AtomicBool,
}

impl<'a> Scripted<'a> {
    fn new(stop: &'a AtomicBool, stop_at: usize) -> Self {
        Self { asked: AtomicUsize::new(0), stop_at, stop }
    }
}

fn reply(prompt: &str, seed: u64) -> String {
    let die = u8::from_str_radix(&digest::of_bytes(format!("{seed} {prompt}"))[..2], 16).unwrap();
    let field = |heading: &str| {
        let (_, rest) = prompt.split_once(heading).unwrap();
        rest.trim().lines().next().unwrap_or_default().to_owned()
    };
    if prompt.starts_with("Compare") {
        return if die < 40 { "Equal" } else { "Not Equal" }.to_owned();
    }
    if prompt.starts_with("How hard") {
        return (1 + die % 10).to_string();
    }
    if prompt.contains("Given task:") {
        let task = field("Given task:\n");
        return match die {
            0..15 => format!("#Harder Task#:\n{task} Say why."),
            15..30 => format!("The given task is: {task}"),
            30..45 => task,
            45..55 => String::new(),
            _ => format!("{task} And {die} more."),
        };
    }
    match die {
        0..20 => "I'm sorry, I cannot.".to_owned(),
        20..30 => "It is what it is.".to_owned(),
        _ => format!("The answer is {die} rivers."),
    }
}

impl TextGenerator for Scripted<'_> {
    fn generate(
        &self,
        messages: &[Message],
        options: &GenerateOptions,
        _on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, Box<dyn std::error::Error + Send + Sync>> {
        if self.asked.fetch_add(1, Ordering::Relaxed) + 1 == self.stop_at {
            self.stop.store(true, Ordering::Relaxed);
        }
        let text = reply(&messages[0].content, options.seed);
        let new_tokens = Some(text.split_whitespace().count());
        let reason =
            if self.stop.load(Ordering::Relaxed) { StopReason::Cancelled } else { StopReason::TurnEnd };
        Ok(GeneratedText {
            text,
            prompt_tokens: Some(messages[0].content.len()),
            new_tokens,
            reason,
            model_version: None,
            own_temperature: false,
        })
    }
}

fn seeds(count: usize) -> Vec<Seed> {
    let seed = |at| Seed { instruction: format!("Name {at} rivers."), response: Some("Rhine".into()) };
    (0..count).map(seed).collect()
}

/// One life of a run over a folder's store; `stop_at` is the request that ends it, 0 for none.
fn life(
    folder: &Path,
    seeds: &[Seed],
    settings: &EvolutionSettings,
    stop_at: usize,
) -> (Result<Vec<Row>, EvolveError>, usize) {
    let stop = AtomicBool::new(false);
    let model = Scripted::new(&stop, stop_at);
    let store = RequestStore::open(&folder.join("replies.jsonl")).unwrap();
    let operators = OperatorSet::own("general").unwrap().under(Law::Equal, &Default::default()).unwrap();
    let named = || Model {
        generator: &model,
        name: "scripted".into(),
        options: GenerateOptions { temperature: 1.0, ..GenerateOptions::default() },
        settings: RunSettings { concurrency: 3, ..RunSettings::default() },
    };
    let models = Models { evolver: named(), answerer: named(), judge: Some(named()) };
    let evolution = Evolution {
        settings,
        operators: &operators,
        models,
        desk: Desk { store: &store, stop: Some(&stop), spending_limit: None },
        against: None,
    };
    let mut keep = |rows: &[Row]| lineage::write(&folder.join("lineage.jsonl"), rows);
    let rows = evolution.run(seeds, &mut |_| (), &mut keep);
    (rows, model.asked.load(Ordering::Relaxed))
}

fn settings() -> EvolutionSettings {
    EvolutionSettings { rounds: 3, rated: 5, ..EvolutionSettings::default() }
}

#[test]
fn two_hundred_kills_end_in_the_same_bytes() {
    let (seeds, settings) = (seeds(30), settings());
    let whole = tempfile::tempdir().unwrap();
    let (rows, asked) = life(whole.path(), &seeds, &settings, 0);
    rows.unwrap();
    let wanted = std::fs::read(whole.path().join("lineage.jsonl")).unwrap();
    let (mut kills, mut most_asked) = (0, 0);
    for start in 0_usize.. {
        let folder = tempfile::tempdir().unwrap();
        let mut again = 0;
        loop {
            // Another place in every life, and at least one reply kept before it.
            let stop_at = 2 + (start * 37 + kills * 13) % 24;
            let (rows, in_life) = life(folder.path(), &seeds, &settings, stop_at);
            again += in_life;
            match rows {
                Ok(_) => break,
                Err(EvolveError::Run(RunError::Interrupted { .. })) => kills += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(std::fs::read(folder.path().join("lineage.jsonl")).unwrap(), wanted);
        most_asked = most_asked.max(again);
        if kills >= 200 {
            break;
        }
    }
    // What was under way at a kill is asked again, three at a time; nothing that was kept is.
    assert!(most_asked <= asked + 3 * kills, "{most_asked} of {asked}");
}

#[test]
fn a_lineage_says_how_each_row_came_about() {
    let folder = tempfile::tempdir().unwrap();
    let (rows, asked) = life(folder.path(), &seeds(40), &settings(), 0);
    let rows = rows.unwrap();
    assert_eq!(lineage::read(&folder.path().join("lineage.jsonl")).unwrap(), rows);
    assert_eq!(rows.iter().map(|row| row.calls.len()).sum::<usize>(), asked);
    assert_eq!(rows.len(), 40 * 4);
    let by_id = |id: &str| rows.iter().find(|row| row.id == id).unwrap();
    for row in rows.iter().filter(|row| row.round > 0) {
        let parent = by_id(row.parent.as_ref().unwrap());
        assert_eq!(parent.seed, row.seed);
        assert!(parent.lives() && parent.round < row.round);
        // The parent is the latest that lived: a failed evolution leaves it in the pool.
        let newer = rows.iter().filter(|r| r.seed == row.seed && r.round < row.round && r.lives());
        assert_eq!(newer.map(|r| r.round).max(), Some(parent.round));
    }
    for rule in
        [Rule::CopiedPrompt, Rule::Unchanged, Rule::NoText, Rule::NoGain, Rule::Sorry, Rule::EmptyWords]
    {
        assert!(
            rows.iter().any(|row| row.ended.as_ref().is_some_and(|ended| ended.rule == rule)),
            "{rule:?}"
        );
    }
    // Nothing is paid for a row that had ended before.
    let calls = |row: &Row| row.calls.len();
    let ended_by = |row: &&Row, rule| row.ended.as_ref().is_some_and(|ended| ended.rule == rule);
    assert!(rows.iter().filter(|row| ended_by(row, Rule::CopiedPrompt)).all(|row| calls(row) == 1));
    assert!(rows.iter().filter(|row| ended_by(row, Rule::NoGain)).all(|row| calls(row) == 2));
    // A heading that the reply repeats is no part of the instruction.
    assert!(rows.iter().any(|row| row.instruction.ends_with("Say why.")));
    assert!(rows.iter().all(|row| !row.instruction.contains('#')));
    for round in 0..=3 {
        assert_eq!(rows.iter().filter(|row| row.round == round && row.difficulty.is_some()).count(), 5);
    }
}

#[test]
fn a_seed_changes_the_data_and_fixes_them() {
    let run = |seed, attempts| {
        let folder = tempfile::tempdir().unwrap();
        let settings = EvolutionSettings { seed, attempts, ..settings() };
        life(folder.path(), &seeds(12), &settings, 0).0.unwrap()
    };
    assert_eq!(run(7, 1), run(7, 1));
    assert_ne!(run(7, 1), run(8, 1));
    let twice = run(7, 2);
    assert!(twice.iter().any(|row| row.attempt == 2));
    for row in twice.iter().filter(|row| row.attempt == 2) {
        let first = twice.iter().find(|r| (r.seed, r.round, r.attempt) == (row.seed, row.round, 1)).unwrap();
        assert!(!first.lives() && first.parent == row.parent);
    }
}

#[test]
fn rules_that_are_off_and_seeds_of_any_kind() {
    let folder = tempfile::tempdir().unwrap();
    let mut odd = seeds(3);
    odd.push(Seed { instruction: "x".repeat(100_000), response: None });
    odd.push(Seed { instruction: " ".into(), response: Some("yes".into()) });
    odd.push(Seed { instruction: "Answer: what is a river?".into(), response: None });
    let off = RuleSettings { off: vec![Rule::NoGain, Rule::Sorry], ..RuleSettings::default() };
    let settings = EvolutionSettings { rounds: 2, rules: off, ..EvolutionSettings::default() };
    let rows = life(folder.path(), &odd, &settings, 0).0.unwrap();
    let rule = |id: &str| rows.iter().find(|row| row.id == id).unwrap().ended.as_ref().map(|e| e.rule);
    assert_eq!((rule("3"), rule("4")), (Some(Rule::TooLong), Some(Rule::NoText)));
    assert!(rows.iter().all(|row| row.seed != 3 || row.round == 0), "a seed that ended is not evolved");
    assert!(rows.iter().all(|row| row.judged.is_none()));
    let error = life(folder.path(), &[], &settings, 0).0.unwrap_err();
    assert!(matches!(error, EvolveError::NoSeeds));
}
