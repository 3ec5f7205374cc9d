//! Self-Instruct against models whose replies are known, and beside Alpaca's own code
//! (`benches/peers/self_instruct_golden.py`).

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use camelid_chat::requests::{RequestStore, RunError, RunSettings};
use camelid_chat::{GenerateOptions, GeneratedText, Message, StopReason, TextGenerator};
use camelid_evolve::self_instruct::PROMPT;
use camelid_evolve::{
    ContaminationSettings, Decontaminator, Demonstration, Desk, EvolveError, Model, Row, Rule, RuleSettings,
    SelfInstruct, SelfInstructSettings, TestItem, lineage,
};
use serde_json::Value;

/// A model that replies to the request of each number, by its prompt and seed, as a function says.
struct Writer<F> {
    reply: F,
    asked: AtomicUsize,
    stop_at: usize,
    stop: AtomicBool,
}

impl<F: Fn(&str, u64) -> (String, bool) + Sync + Send> TextGenerator for Writer<F> {
    fn generate(
        &self,
        messages: &[Message],
        options: &GenerateOptions,
        _on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, Box<dyn std::error::Error + Send + Sync>> {
        if self.asked.fetch_add(1, Ordering::Relaxed) + 1 == self.stop_at {
            self.stop.store(true, Ordering::Relaxed);
        }
        let (text, cut_off) = (self.reply)(&messages[0].content, options.seed);
        let reason = match (self.stop.load(Ordering::Relaxed), cut_off) {
            (true, _) => StopReason::Cancelled,
            (false, true) => StopReason::Length,
            (false, false) => StopReason::TurnEnd,
        };
        Ok(GeneratedText {
            prompt_tokens: Some(10),
            new_tokens: Some(text.len()),
            text,
            reason,
            model_version: None,
            own_temperature: false,
        })
    }
}

fn seeds(instructions: &[&str]) -> Vec<Demonstration> {
    let seed = |text: &&str| Demonstration {
        instruction: (*text).to_owned(),
        input: String::new(),
        output: "The Rhine.".to_owned(),
    };
    instructions.iter().map(seed).collect()
}

/// One life of a run; `stop_at` is the request that ends it, 0 for none.
fn life(
    folder: &Path,
    seeds: &[Demonstration],
    settings: &SelfInstructSettings,
    reply: impl Fn(&str, u64) -> (String, bool) + Sync + Send,
    stop_at: usize,
    against: Option<&Decontaminator>,
) -> Result<Vec<Row>, EvolveError> {
    let store = RequestStore::open(&folder.join("replies.jsonl")).unwrap();
    let writer = Writer { reply, asked: AtomicUsize::new(0), stop_at, stop: AtomicBool::new(false) };
    let model = Model {
        generator: &writer,
        name: "writer".into(),
        options: GenerateOptions::default(),
        settings: RunSettings { concurrency: 1, ..RunSettings::default() },
    };
    let desk = Desk { store: &store, stop: Some(&writer.stop), spending_limit: None };
    let run = SelfInstruct { settings, prompt: PROMPT, model, desk, against };
    let mut keep = |rows: &[Row]| lineage::write(&folder.join("lineage.jsonl"), rows);
    run.run(seeds, &mut |_| (), &mut keep)
}

const SEEDS: [&str; 4] = [
    "Name two rivers and a lake in Europe.",
    "Explain why birds fly south.",
    "Write a short poem about towns.",
    "Sort the numbers from small to large.",
];

/// Tasks whose numbers come from the seed of sampling, with a fault now and then.
fn tasks(_prompt: &str, seed: u64) -> (String, bool) {
    const NOUNS: [&str; 12] = [
        "bridge", "mountain", "engine", "garden", "letter", "castle", "harbour", "orchard", "teacher",
        "lantern", "violin", "desert",
    ];
    let noun = |at: u64| NOUNS[(at % 12) as usize];
    let one = |at: u64| {
        let (number, draw) = (at + 4, (seed + at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20);
        let (a, b, c, d) = (noun(draw), noun(draw / 12), noun(draw / 144), noun(draw / 1728));
        let instruction = match draw % 9 {
            0 => format!("Draw a {a} and a {b}."),
            1 => "Stop now.".to_owned(),
            2..5 => format!("Explain {a} {b} {c} {d}."),
            5..7 => format!("Why {d} {c} without {b}?"),
            _ => format!("Tell of {b} and {a}, then {d}."),
        };
        let output = if draw.is_multiple_of(11) { "I'm sorry, no." } else { "They are far from each other." };
        format!(
            "{number}. Instruction: {instruction}\n{number}. Input:\n<noinput>\n{number}. Output:\n{output}\n"
        )
    };
    ((0..5).map(one).collect::<Vec<_>>().join("###\n"), seed.is_multiple_of(4))
}

#[test]
fn tasks_and_decisions_are_those_of_alpacas_code() {
    let golden: Value = serde_json::from_str(include_str!("golden/self_instruct.json")).unwrap();
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let replies = golden["replies"].as_array().unwrap();
    let (seeds_text, next) = (strings(&golden["seeds"]), AtomicUsize::new(0));
    let seeds = seeds(&seeds_text.iter().map(String::as_str).collect::<Vec<_>>());
    let reply = |_: &str, _| {
        let reply = &replies[next.fetch_add(1, Ordering::Relaxed)];
        (reply["text"].as_str().unwrap().to_owned(), reply["cut_off"].as_bool().unwrap())
    };
    let tasks = || replies.iter().flat_map(|reply| reply["tasks"].as_array().unwrap());
    // Camelid's own rules are off: Alpaca keeps answers that are empty, and instructions in any language.
    let own = [Rule::NoAnswer, Rule::EmptyWords, Rule::OtherLanguage, Rule::AnswerInside];
    let settings = SelfInstructSettings {
        instructions: tasks().filter(|task| task["kept"] == true).count(),
        batch: 1,
        rules: RuleSettings { off: own.to_vec(), ..RuleSettings::default() },
        ..SelfInstructSettings::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let rows = life(folder.path(), &seeds, &settings, reply, 0, None).unwrap();
    let mut compared = 0;
    for (at, reply) in replies.iter().enumerate().take(next.load(Ordering::Relaxed)) {
        // What Alpaca's own rules leave is what lives, or is like an earlier one.
        let passed = rows
            .iter()
            .filter(|row| row.attempt == at + 1)
            .filter(|row| row.ended.as_ref().is_none_or(|ended| ended.rule == Rule::Similar));
        let passed: Vec<_> = passed
            .map(|row| (&row.instruction[..], &row.input[..], row.response.as_deref().unwrap(), row.lives()))
            .collect();
        let wanted: Vec<_> = reply["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| {
                let text = |field: &str| task[field].as_str().unwrap();
                (text("instruction"), text("input"), text("output"), task["kept"].as_bool().unwrap())
            })
            .collect();
        assert_eq!(passed, wanted, "reply {at}");
        compared += wanted.len();
    }
    assert!(compared > 50 && compared + 20 > tasks().count(), "{compared}");
}

#[test]
fn a_prompt_shows_three_seeds_and_begins_the_fourth_task() {
    let folder = tempfile::tempdir().unwrap();
    let seen = std::sync::Mutex::new(Vec::new());
    let reply = |prompt: &str, seed| {
        seen.lock().unwrap().push(prompt.to_owned());
        tasks(prompt, seed)
    };
    let settings = SelfInstructSettings { instructions: 20, ..SelfInstructSettings::default() };
    let rows = life(folder.path(), &seeds(&SEEDS), &settings, reply, 0, None).unwrap();
    let prompts = seen.into_inner().unwrap();
    for prompt in &prompts {
        assert!(
            prompt.starts_with("Write a list of 20 tasks") && prompt.ends_with("###\n4. Instruction:"),
            "{prompt}"
        );
        assert_eq!(SEEDS.iter().filter(|seed| prompt.contains(**seed)).count(), 3);
        assert!(prompt.contains("\n1. Input:\n<noinput>\n1. Output:\nThe Rhine.\n###\n2. Instruction: "));
    }
    assert!(prompts.iter().any(|prompt| *prompt != prompts[0]));
    // Every request is in the lineage once, with its cost, and says what was shown.
    let calls: usize = rows.iter().map(|row| row.calls.len()).sum();
    assert_eq!((calls, calls % 5), (prompts.len(), 0));
    assert!(rows.iter().filter(|row| row.round == 1).all(|row| row.demonstrations.len() == 3));
    assert_eq!(lineage::read(&folder.path().join("lineage.jsonl")).unwrap().len(), rows.len());
}

#[test]
fn a_run_that_was_killed_comes_to_the_same_rows() {
    let settings = SelfInstructSettings { instructions: 60, ..SelfInstructSettings::default() };
    let run = |folder: &Path, stop_at| life(folder, &seeds(&SEEDS), &settings, tasks, stop_at, None);
    let whole = tempfile::tempdir().unwrap();
    let rows = run(whole.path(), 0).unwrap();
    assert!(rows.iter().filter(|row| row.round == 1 && row.lives()).count() >= 60);
    for rule in [Rule::Barred, Rule::WordCount, Rule::Similar, Rule::CutOff, Rule::Sorry] {
        let ended = |row: &Row| row.ended.as_ref().is_some_and(|ended| ended.rule == rule);
        assert!(rows.iter().any(ended), "{rule}");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut kills = 0;
    let again = loop {
        match run(folder.path(), 2 + kills % 3) {
            Err(EvolveError::Run(RunError::Interrupted { .. })) => kills += 1,
            ended => break ended.unwrap(),
        }
    };
    assert!(kills >= 5 && again == rows, "{kills}");
}

#[test]
fn test_items_and_models_without_ideas_end_by_name() {
    let items =
        [TestItem { set: "own".into(), id: "7".into(), text: "Say what a castle has to do with it".into() }];
    let against = Decontaminator::new(items, ContaminationSettings::default()).unwrap();
    let same = |_: &str, _| {
        (
            "Say what a castle has to do with it all.\n4. Input:\n<noinput>\n4. Output:\nMuch.\n".to_owned(),
            false,
        )
    };
    let few = SelfInstructSettings { instructions: 2, patience: 3, ..SelfInstructSettings::default() };
    let echo = |prompt: &str, _| (prompt.to_owned(), false);
    let silent = |_: &str, _| (String::new(), false);
    let endless = |_: &str, _| ("and on ".repeat(1000), true);
    type Replying<'a> = &'a (dyn Fn(&str, u64) -> (String, bool) + Sync + Send);
    let cases: [(Replying, Rule); 4] = [
        (&same, Rule::Contaminated),
        (&echo, Rule::Format),
        (&silent, Rule::Format),
        (&endless, Rule::CutOff),
    ];
    for (reply, rule) in cases {
        let folder = tempfile::tempdir().unwrap();
        let error = life(folder.path(), &seeds(&SEEDS), &few, reply, 0, Some(&against)).unwrap_err();
        assert!(matches!(error, EvolveError::NothingNew { requests: 15, made: 0, wanted: 2 }), "{error}");
        let rows = lineage::read(&folder.path().join("lineage.jsonl")).unwrap();
        let ended = |row: &Row| row.ended.as_ref().is_some_and(|ended| ended.rule == rule);
        assert!(rows.iter().filter(|row| row.round == 1).all(ended), "{rule}");
    }
}

#[test]
fn settings_out_of_range_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let settings = SelfInstructSettings::default;
    for (settings, name) in [
        (SelfInstructSettings { demonstrations: 5, ..settings() }, "demonstrations"),
        (SelfInstructSettings { tasks: 3, ..settings() }, "tasks"),
        (SelfInstructSettings { batch: 0, ..settings() }, "batch"),
        (SelfInstructSettings { rouge_above: 7.0, ..settings() }, "rouge_above"),
    ] {
        let error = life(folder.path(), &seeds(&SEEDS), &settings, tasks, 0, None).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")), "{error}");
    }
    assert!(matches!(life(folder.path(), &[], &settings(), tasks, 0, None), Err(EvolveError::NoSeeds)));
}
