//! What a run will take, said before its first request.

use std::collections::BTreeMap;

use camelid_chat::requests::RequestStore;
use camelid_report::{short, text_table};
use serde::{Deserialize, Serialize};

use crate::asking::Model;
use crate::evolution::{Evolution, Models, Seed};
use crate::lineage::{Spent, Task};
use crate::operators::{Kind, Operator};
use crate::rules::Rule;
use crate::self_instruct::{Demonstration, SelfInstruct};

/// Bytes of a token: about right for English.
const BYTES_PER_TOKEN: f64 = 4.0;
/// Tokens by which a round makes an instruction longer: the paper's prompts ask for 10 to 20 words.
const GROWTH: f64 = 20.0;
/// Tokens of an answer, where no seed has one to go by.
const ANSWER: f64 = 400.0;
/// Tokens of a judge's verdict or score.
const VERDICT: f64 = 3.0;

/// What a run will take from its beginning to its end, task by task, if every row lives. A row that a rule ends is
/// not answered, so that a run mostly takes less; with further attempts it may take more.
///
/// Tokens are counted at four bytes each: those of prompts from the prompts and the seeds, those of replies from
/// the seeds, to which every round adds 20; answers are taken to be as long as the seeds' own, else 400 tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forecast {
    /// By task.
    pub tasks: Vec<Spent>,
}

impl Forecast {
    /// Its calls.
    pub fn calls(&self) -> usize {
        self.tasks.iter().map(|task| task.calls).sum()
    }

    /// What it costs, where prices are known.
    pub fn cost(&self) -> Option<f64> {
        total(&self.tasks)
    }

    /// The table for a terminal.
    pub fn text(&self) -> String {
        let mut rows: Vec<_> = self.tasks.iter().map(|task| line(&task.task.to_string(), "", task)).collect();
        rows.push(line("in all", "", &sum(&self.tasks)));
        text_table(&["task", "", "calls", "prompt tokens", "new tokens", "cost"], &rows, &[0, 1])
    }

    /// What was forecast with what it really was below, task by task.
    pub fn beside(&self, spent: &[Spent]) -> String {
        let mut tasks: BTreeMap<Task, [Vec<Spent>; 2]> = BTreeMap::new();
        for (at, side) in [&self.tasks[..], spent].into_iter().enumerate() {
            for of in side {
                tasks.entry(of.task).or_default()[at].push(of.clone());
            }
        }
        let pair = |name: &str, [forecast, was]: [&[Spent]; 2]| {
            [line(name, "forecast", &sum(forecast)), line("", "was", &sum(was))]
        };
        let mut rows: Vec<_> = tasks
            .iter()
            .flat_map(|(task, [forecast, was])| pair(&task.to_string(), [forecast, was]))
            .collect();
        rows.extend(pair("in all", [&self.tasks, spent]));
        text_table(&["task", "", "calls", "prompt tokens", "new tokens", "cost"], &rows, &[0, 1])
    }

    fn add(&mut self, task: Task, model: &Model, calls: f64, tokens: (f64, f64)) {
        if calls < 0.5 {
            return;
        }
        let new = tokens.1.min(model.options.max_new_tokens as f64);
        let (prompt, new) = (calls * tokens.0, calls * new);
        self.tasks.push(Spent {
            task,
            model: model.name.clone(),
            calls: calls.round() as usize,
            prompt_tokens: prompt.round() as usize,
            new_tokens: new.round() as usize,
            cost: model.settings.prices.map(|prices| prices.cost(prompt, new)),
        });
    }
}

/// What of a cost is known.
fn total(spent: &[Spent]) -> Option<f64> {
    spent.iter().filter_map(|spent| spent.cost).reduce(|sum, cost| sum + cost)
}

fn sum(spent: &[Spent]) -> Spent {
    let of = |count: fn(&Spent) -> usize| spent.iter().map(count).sum();
    Spent {
        task: Task::Evolve,
        model: String::new(),
        calls: of(|spent| spent.calls),
        prompt_tokens: of(|spent| spent.prompt_tokens),
        new_tokens: of(|spent| spent.new_tokens),
        cost: total(spent),
    }
}

fn line(name: &str, side: &str, spent: &Spent) -> Vec<String> {
    let counts = [spent.calls, spent.prompt_tokens, spent.new_tokens].map(|count| count.to_string());
    let mut cells = vec![name.to_owned(), side.to_owned()];
    cells.extend(counts);
    cells.push(spent.cost.map_or("–".to_owned(), short));
    cells
}

fn tokens(text: &str) -> f64 {
    text.len() as f64 / BYTES_PER_TOKEN
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

impl Evolution<'_> {
    /// What [`Evolution::run`] will take of these seeds, from the beginning, whatever is stored already.
    pub fn forecast(&self, seeds: &[Seed]) -> Forecast {
        let (settings, models) = (self.settings, &self.models);
        let (count, rounds) = (seeds.len() as f64, settings.rounds as f64);
        let first = mean(seeds.iter().map(|seed| tokens(&seed.instruction))).unwrap_or(0.0);
        let answers =
            seeds.iter().filter_map(|seed| seed.response.as_deref()).filter(|it| !it.trim().is_empty());
        let answer = mean(answers.clone().map(tokens)).unwrap_or(ANSWER);
        let unanswered = count - answers.count() as f64;
        let operators = &self.operators.operators;
        let share = |of: &dyn Fn(&Operator) -> f64| {
            let weights: f64 = operators.iter().map(|operator| operator.weight).sum();
            operators.iter().map(|operator| operator.weight * of(operator)).sum::<f64>() / weights
        };
        let frame = share(&|operator| tokens(&operator.prompt.fill(&[])));
        // An instruction before and after its evolution, in the middle of all rounds.
        let before = first + GROWTH * (rounds - 1.0) / 2.0;
        let after = before + GROWTH;

        let mut forecast = Forecast::default();
        forecast.add(Task::Evolve, &models.evolver, rounds * count, (frame + before, after));
        if let Some(judge) = models.judge.as_ref().filter(|_| settings.rules.applies(Rule::NoGain)) {
            let depth = share(&|operator| f64::from(u8::from(operator.kind != Kind::Breadth)));
            let compared = if settings.rules.no_gain_in_breadth { 1.0 } else { depth };
            let prompt = tokens(&self.operators.equality.fill(&[])) + before + after;
            forecast.add(Task::Compare, judge, rounds * count * compared, (prompt, VERDICT));
        }
        let evolved = rounds * count;
        let asked = if evolved + unanswered > 0.0 {
            (evolved * after + unanswered * first) / (evolved + unanswered)
        } else {
            0.0
        };
        forecast.add(Task::Answer, &models.answerer, evolved + unanswered, (asked, answer));
        if let Some(judge) = &models.judge {
            let prompt = tokens(&self.operators.difficulty.fill(&[])) + before;
            let rated = (rounds + 1.0) * (settings.rated as f64).min(count);
            forecast.add(Task::Rate, judge, rated, (prompt, VERDICT));
        }
        forecast
    }

    /// What the stored replies of its models cost when they were asked for.
    pub fn paid(&self) -> f64 {
        let Models { evolver, answerer, judge } = &self.models;
        let mut models = vec![evolver, answerer];
        models.extend(judge);
        models.sort_by(|a, b| a.name.cmp(&b.name));
        models.dedup_by(|a, b| a.name == b.name);
        models.into_iter().map(|model| paid(self.desk.store, model)).sum()
    }
}

impl SelfInstruct<'_> {
    /// What [`SelfInstruct::run`] will take of these seeds, from the beginning, if every task of every reply
    /// lives: Alpaca's rules end a good part, so that a run takes more.
    pub fn forecast(&self, seeds: &[Demonstration]) -> Forecast {
        let settings = self.settings;
        let of_task = |seed: &Demonstration| {
            // With the headings around its three parts.
            tokens(&seed.instruction) + tokens(&seed.input) + tokens(&seed.output) + 12.0
        };
        let task = mean(seeds.iter().map(of_task)).unwrap_or(0.0);
        let new = settings.tasks.saturating_sub(settings.demonstrations).max(1);
        let requests = settings.instructions.div_ceil(new).next_multiple_of(settings.batch.max(1));
        let prompt = tokens(self.prompt) + settings.demonstrations as f64 * task;
        let mut forecast = Forecast::default();
        forecast.add(Task::Instruct, &self.model, requests as f64, (prompt, new as f64 * task));
        forecast
    }

    /// What the stored replies of its model cost when they were asked for.
    pub fn paid(&self) -> f64 {
        paid(self.desk.store, &self.model)
    }
}

fn paid(store: &RequestStore, model: &Model) -> f64 {
    let (prompt, new) = store.tokens_of(&model.name);
    model.settings.prices.map_or(0.0, |prices| prices.cost(prompt as f64, new as f64))
}
