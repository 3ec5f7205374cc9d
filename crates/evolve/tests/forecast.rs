//! What a run is forecast to take, beside what it takes.

use std::error::Error;
use std::ops::ControlFlow;

use camelid_chat::requests::{Prices, RequestStore, RunSettings};
use camelid_chat::{GenerateOptions, GeneratedText, Message, StopReason, TextGenerator};
use camelid_evolve::self_instruct::PROMPT;
use camelid_evolve::{
    Demonstration, Desk, Evolution, EvolutionSettings, EvolveReport, Forecast, Law, Model, Models,
    OperatorSet, Rule, RuleSettings, Seed, SelfInstruct, SelfInstructSettings, Task,
};
use camelid_report::Report;

/// Words that a model of tokens of four bytes would need twenty tokens for.
const LONGER: &str = " Say why, for whom, since when, at what cost, and what else could be done about it.";

/// Makes a task longer as the prompts ask, finds every pair different, and answers like the seeds.
struct Obedient;

impl TextGenerator for Obedient {
    fn generate(
        &self,
        messages: &[Message],
        _: &GenerateOptions,
        _: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, Box<dyn Error + Send + Sync>> {
        let prompt = &messages[0].content;
        let text = match prompt.split_once("Given task:\n") {
            Some((_, task)) => format!("{}{LONGER}", task.lines().next().unwrap_or_default()),
            None if prompt.starts_with("Compare") => "Not Equal".to_owned(),
            None => format!("The Rhine, the Rhone and the Danube do, of {} words.", prompt.len()),
        };
        Ok(GeneratedText {
            prompt_tokens: Some(prompt.len() / 4),
            new_tokens: Some(text.len().div_ceil(4)),
            text,
            reason: StopReason::TurnEnd,
            model_version: None,
            own_temperature: false,
        })
    }
}

fn model() -> Model<'static> {
    let prices = Some(Prices { prompt: 1.0, new: 2.0 });
    Model {
        generator: &Obedient,
        name: "obedient".into(),
        options: GenerateOptions { max_new_tokens: 2048, ..GenerateOptions::default() },
        settings: RunSettings { prices, ..RunSettings::default() },
    }
}

fn seeds() -> Vec<Seed> {
    let response = "The Rhine, the Rhone and the Danube do, of 100 words.";
    let seed =
        |at| Seed { instruction: format!("Name {at} rivers of Europe."), response: Some(response.into()) };
    (0..8).map(seed).collect()
}

fn near(forecast: usize, was: usize) -> bool {
    (forecast as f64 / was as f64 - 1.0).abs() < 0.06
}

#[test]
fn what_was_forecast_comes_about_where_every_row_lives() {
    let store = RequestStore::in_memory();
    let operators = OperatorSet::own("general").unwrap().under(Law::Equal, &Default::default()).unwrap();
    // All tasks are made longer by the same words.
    let different = RuleSettings { near_duplicates: 1.1, ..RuleSettings::default() };
    let evolution = Evolution {
        settings: &EvolutionSettings { rounds: 3, rules: different, ..EvolutionSettings::default() },
        operators: &operators,
        models: Models { evolver: model(), answerer: model(), judge: Some(model()) },
        desk: Desk { store: &store, stop: None, spending_limit: None },
        against: None,
    };
    let forecast = evolution.forecast(&seeds());
    assert_eq!((forecast.calls(), evolution.paid()), (8 * 3 * 3, 0.0));
    let rows = evolution.run(&seeds(), &mut |_| (), &mut |_| Ok(())).unwrap();
    assert!(rows.iter().all(|row| row.lives()));

    let report = EvolveReport::new(&rows).with_forecast(forecast.clone());
    for was in &report.spent {
        let of = forecast.tasks.iter().find(|of| of.task == was.task).unwrap();
        assert_eq!(of.calls, was.calls, "{}", was.task);
        assert!(near(of.prompt_tokens, was.prompt_tokens), "{of:?} {was:?}");
        assert!(was.task == Task::Compare || near(of.new_tokens, was.new_tokens), "{of:?} {was:?}");
    }
    // What is stored is paid for: all of it.
    let cost: f64 = report.spent.iter().filter_map(|spent| spent.cost).sum();
    assert!((evolution.paid() / cost - 1.0).abs() < 1e-9);
    assert!((forecast.cost().unwrap() / cost - 1.0).abs() < 0.06);

    // Both stand in every form of the report.
    let value: Forecast =
        serde_json::from_value(serde_json::to_value(&report).unwrap()["forecast"].clone()).unwrap();
    assert_eq!(value, forecast);
    assert!(report.text().contains("forecast") && report.page().unwrap().contains("What was forecast"));
    assert!(!EvolveReport::new(&rows).text().contains("forecast"));
}

#[test]
fn only_what_is_asked_for_is_forecast() {
    let store = RequestStore::in_memory();
    let operators = OperatorSet::own("general").unwrap().under(Law::Equal, &Default::default()).unwrap();
    let calls = |settings: EvolutionSettings, seeds: &[Seed], judge: bool| {
        let judge = judge.then(model);
        let evolution = Evolution {
            settings: &settings,
            operators: &operators,
            models: Models { evolver: model(), answerer: model(), judge },
            desk: Desk { store: &store, stop: None, spending_limit: None },
            against: None,
        };
        let of = evolution.forecast(seeds).tasks;
        of.into_iter().map(|of| (of.task, of.calls)).collect::<Vec<_>>()
    };
    let two = EvolutionSettings { rounds: 2, ..EvolutionSettings::default() };
    let unanswered: Vec<Seed> = seeds().into_iter().map(|seed| Seed { response: None, ..seed }).collect();
    assert_eq!(calls(two.clone(), &unanswered, false), [(Task::Evolve, 16), (Task::Answer, 24)]);
    let rules = RuleSettings { off: vec![Rule::NoGain], ..RuleSettings::default() };
    let rated = EvolutionSettings { rules, rated: 5, ..two.clone() };
    assert_eq!(calls(rated, &seeds(), true), [(Task::Evolve, 16), (Task::Answer, 16), (Task::Rate, 15)]);
    // One operator of six is of breadth.
    let rules = RuleSettings { no_gain_in_breadth: false, ..RuleSettings::default() };
    let found = calls(EvolutionSettings { rules, ..two.clone() }, &seeds(), true);
    assert_eq!(found[1], (Task::Compare, 13));
    assert_eq!(calls(EvolutionSettings { rounds: 0, ..two }, &seeds(), true), []);
}

#[test]
fn self_instruct_is_forecast_by_tasks_of_a_request() {
    let store = RequestStore::in_memory();
    let settings = SelfInstructSettings { instructions: 1700, ..SelfInstructSettings::default() };
    let run = SelfInstruct {
        settings: &settings,
        prompt: PROMPT,
        model: model(),
        desk: Desk { store: &store, stop: None, spending_limit: None },
        against: None,
    };
    let seed =
        Demonstration { instruction: "Name a river.".into(), input: String::new(), output: "Rhine".into() };
    let forecast = run.forecast(&[seed.clone(), seed.clone(), seed]);
    // 17 of 20 tasks are new.
    assert_eq!((forecast.calls(), forecast.tasks[0].task), (100, Task::Instruct));
}
