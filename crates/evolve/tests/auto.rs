//! Auto Evol-Instruct against an optimizer whose methods are known to be better or worse.

use std::ops::ControlFlow;
use std::path::Path;

use camelid_chat::requests::{RequestStore, RunSettings};
use camelid_chat::{GenerateOptions, GeneratedText, Message, StopReason, TextGenerator};
use camelid_evolve::{
    AutoEvolve, AutoSettings, Desk, EvolveError, Model, OperatorSet, RuleSettings, Seed, Version,
};

/// Fails on as many of ten seeds as its method's only digit says; proposes methods of other digits.
struct Optimized;

impl TextGenerator for Optimized {
    fn generate(
        &self,
        messages: &[Message],
        options: &GenerateOptions,
        _on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, Box<dyn std::error::Error + Send + Sync>> {
        let prompt = &messages[0].content;
        let digit = |text: &str| text.chars().find_map(|c| c.to_digit(10)).unwrap() as u64;
        let text = if prompt.contains("Failed rewritings:") {
            assert!(
                prompt.contains("What was wrong: unchanged") && prompt.contains("Method:\nFail "),
                "{prompt}"
            );
            "It says to fail.".to_owned()
        } else if prompt.contains("What is wrong with it:\nIt says to fail.") {
            let now = digit(prompt);
            match options.seed % 3 {
                0 => format!("<method>Fail {} times.</method>", now.saturating_sub(2)),
                1 => format!("<method>Fail {} times.</method>", (now + 1).min(9)),
                _ => "I would rather not.".to_owned(),
            }
        } else if let Some((before, task)) = prompt.split_once("Given task:\n") {
            let (fails, task) = (digit(before.split_once("Fail ").unwrap().1), task.lines().next().unwrap());
            // Half of the failures are seen in the rewriting, half in the answer.
            match digit(task) {
                at if at < fails && at % 2 == 0 => task.to_owned(),
                at if at < fails => format!("{task} Say it to me."),
                _ => format!("{task} Say why."),
            }
        } else if prompt.ends_with("to me.") {
            "Sure! What shall I say?".to_owned()
        } else {
            "The Rhine, for it is long.".to_owned()
        };
        Ok(GeneratedText {
            text,
            prompt_tokens: None,
            new_tokens: None,
            reason: StopReason::TurnEnd,
            model_version: None,
            own_temperature: false,
        })
    }
}

fn run(folder: &Path, settings: &AutoSettings, seeds: usize) -> Result<Vec<Version>, EvolveError> {
    let store = RequestStore::open(&folder.join("replies.jsonl")).unwrap();
    let model = Model {
        generator: &Optimized,
        name: "optimized".into(),
        options: GenerateOptions::default(),
        settings: RunSettings::default(),
    };
    let search = AutoEvolve {
        settings,
        rules: &RuleSettings::default(),
        method: Some("Fail 6 times."),
        evolver: model.clone(),
        answerer: model.clone(),
        optimizer: model,
        desk: Desk { store: &store, stop: None, spending_limit: None },
    };
    let seed = |at| Seed { instruction: format!("Name {at} rivers."), response: None };
    let mut kept = Vec::new();
    let versions = search.run(&(0..seeds).map(seed).collect::<Vec<_>>(), &mut |_| (), &mut |version| {
        kept.push(version.clone());
        Ok(())
    })?;
    assert_eq!(kept, versions, "every version is kept");
    Ok(versions)
}

#[test]
fn the_method_that_fails_least_stays() {
    let folder = tempfile::tempdir().unwrap();
    let settings = AutoSettings { steps: 2, ..AutoSettings::default() };
    let versions = run(folder.path(), &settings, 10).unwrap();
    let stays: Vec<&Version> = versions.iter().filter(|version| version.stays).collect();
    let rates: Vec<f64> = stays.iter().map(|version| version.failure_rate).collect();
    assert_eq!(rates, [0.6, 0.4, 0.2], "{versions:?}");
    assert_eq!(versions.len(), 1 + 2 * 5);
    assert_eq!(versions[0].failures["unchanged"], 3);
    assert_eq!(versions[0].failures["the answer agrees and asks back"], 3);
    for version in &versions[1..] {
        let parent = versions.iter().find(|other| Some(&other.id) == version.parent.as_ref()).unwrap();
        assert!(parent.stays && version.failure_rate != parent.failure_rate, "{version:?}");
        assert_eq!(version.method.is_empty(), version.failure_rate == 1.0);
    }
    // Again over the same replies, and as a file of prompts.
    assert_eq!(run(folder.path(), &settings, 10).unwrap(), versions);
    let (best, path) = (stays[2].operators(), folder.path().join("method.toml"));
    std::fs::write(&path, best.to_toml()).unwrap();
    assert_eq!(OperatorSet::read(&path).unwrap().to_toml(), best.to_toml());
}

#[test]
fn nothing_to_measure_by_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(run(folder.path(), &AutoSettings::default(), 0), Err(EvolveError::NoSeeds)));
    let none = AutoSettings { sample: 0, ..AutoSettings::default() };
    assert!(run(folder.path(), &none, 3).unwrap_err().to_string().contains("`sample` is 0"));
}
