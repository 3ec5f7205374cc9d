//! What was measured at small scale, in the rows of its report.

use std::path::Path;

use camelid_eval::judge::{Answer, Answers, Question, QuestionSet};
use camelid_evolve::{EvolveReport, Passed};
use camelid_recipe::claims::NamedDifference;
use camelid_recipe::compare::{Difference, paired};
use camelid_recipe::{loss_pair, rounded};
use camelid_report::{environment, text_table};
use camelid_text::rouge::rouge_l;
use camelid_train::ExampleLoss;
use serde::Serialize;

use super::{ARMS, FIRST, MIXTURE, Measured, TESTED};
use crate::reproduce::tuning::Shown;

/// What the recipe measured.
#[derive(Debug, Serialize)]
pub struct Details {
    /// The base before, then each arm after.
    pub models: Vec<ModelRow>,
    /// By how much the mixture's model is better than that of first instructions: in loss and in overlap, on each
    /// part of the test.
    pub differences: Vec<NamedDifference>,
    /// By how much it is better than the base.
    pub gains: Vec<NamedDifference>,
    /// What became of the evolutions.
    pub evolution: EvolveReport,
    /// Test instructions with their answers.
    pub samples: Vec<Sample>,
}

/// One model on the parts of the test; figures with their standard errors.
#[derive(Debug, Serialize)]
pub struct ModelRow {
    /// Its name.
    pub name: String,
    /// What it is.
    pub label: String,
    /// Nats per token of the answers, by part.
    pub losses: Vec<Option<(f64, f64)>>,
    /// ROUGE-L of its own answers with them, in percent, by part.
    pub overlaps: Vec<Option<(f64, f64)>>,
    /// Seconds of training.
    pub seconds: f64,
}

/// One test instruction with its answers.
#[derive(Debug, Serialize)]
pub struct Sample {
    /// Its part of the test.
    pub part: String,
    /// What is asked.
    pub asked: String,
    /// Its answer in the file, or the evolver's.
    pub answered: String,
    /// What each model says, in their order.
    pub replies: Vec<String>,
}

/// A model's losses and replies on the test.
struct Tested<'a> {
    name: &'a str,
    label: &'a str,
    losses: &'a [ExampleLoss],
    replies: &'a [String],
    seconds: f64,
}

impl Measured<'_> {
    fn tested(&self) -> Vec<Tested<'_>> {
        let Self { untuned, tuned, .. } = self;
        let (losses, replies) = (&untuned.losses[..], &untuned.samples[..]);
        let base = Tested { name: "base", label: "before tuning", losses, replies, seconds: 0.0 };
        let after = ARMS.iter().filter_map(|arm| {
            let of = tuned.iter().find(|tuned| tuned.arm == arm.name)?;
            let (losses, replies) = (&of.losses[..], &of.samples[..]);
            Some(Tested { name: arm.name, label: arm.label, losses, replies, seconds: of.seconds })
        });
        std::iter::once(base).chain(after).collect()
    }

    fn losses(&self, of: &Tested, part: &str) -> Vec<ExampleLoss> {
        of.losses.iter().filter(|loss| loss.id.starts_with(part)).cloned().collect()
    }

    fn overlaps(&self, of: &Tested, part: &str) -> Vec<f64> {
        let pairs = self.test.iter().zip(of.replies).filter(|(it, _)| it.id.starts_with(part));
        pairs.map(|(it, reply)| 100.0 * rouge_l(&it.messages[1].content, reply)).collect()
    }

    fn row(&self, of: &Tested) -> ModelRow {
        let measure = |of: Option<Difference>| of.map(|of| (of.mean, of.standard_error));
        let loss = |part| {
            let losses = self.losses(of, part);
            let nothing: Vec<_> = losses.iter().map(|it| ExampleLoss { nll: 0.0, ..it.clone() }).collect();
            measure(loss_pair(&losses, &nothing))
        };
        let overlap = |part| {
            let overlaps = self.overlaps(of, part);
            measure(paired(&overlaps, &vec![0.0; overlaps.len()]))
        };
        let (losses, overlaps) = (TESTED.map(loss).to_vec(), TESTED.map(overlap).to_vec());
        ModelRow { name: of.name.into(), label: of.label.into(), losses, overlaps, seconds: of.seconds }
    }

    /// By how much one model is better than another.
    fn better(&self, better: &Tested, worse: &Tested) -> Vec<NamedDifference> {
        let of_part = |part: &str| {
            let loss = loss_pair(&self.losses(worse, part), &self.losses(better, part));
            let overlap = paired(&self.overlaps(better, part), &self.overlaps(worse, part));
            let named = |what: &str, left: &Tested, right: &Tested, difference: Option<Difference>| {
                let name = format!("{what} on {part} instructions, {} − {}", left.name, right.name);
                difference.map(|difference| NamedDifference { name, difference })
            };
            [named("loss", worse, better, loss), named("ROUGE-L", better, worse, overlap)]
        };
        TESTED.into_iter().flat_map(of_part).flatten().collect()
    }
}

impl Details {
    /// The rows of what was measured.
    pub fn of(measured: &Measured) -> Self {
        let tested = measured.tested();
        let pair = |better: &str, worse: &str| {
            let named = |name: &str| tested.iter().find(|of| of.name == name);
            named(better).zip(named(worse)).map(|(left, right)| measured.better(left, right))
        };
        let sample = |(at, it): (usize, &camelid_chat::Conversation)| Sample {
            part: it.id.split(' ').next().unwrap_or_default().to_owned(),
            asked: it.messages[0].content.clone(),
            answered: it.messages[1].content.clone(),
            replies: tested.iter().filter_map(|of| of.replies.get(at).cloned()).collect(),
        };
        Self {
            models: tested.iter().map(|of| measured.row(of)).collect(),
            differences: pair(MIXTURE.name, FIRST.name).unwrap_or_default(),
            gains: pair(MIXTURE.name, "base").unwrap_or_default(),
            evolution: measured.evolution.clone(),
            samples: measured.test.iter().enumerate().map(sample).collect(),
        }
    }

    /// Writes questions and answers in FastChat's format, for a judge.
    pub fn write_answers(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)?;
        let question = |(at, sample): (usize, &Sample)| Question {
            id: at.to_string(),
            category: sample.part.clone(),
            turns: vec![sample.asked.clone()],
            reference: Vec::new(),
            temperature: None,
        };
        let questions = self.samples.iter().enumerate().map(question).collect();
        QuestionSet { name: "wizardlm smol".to_owned(), questions }.write(&folder.join("questions.jsonl"))?;
        for (at, ModelRow { name, .. }) in self.models.iter().enumerate() {
            let answer = |(question, sample): (usize, &Sample)| {
                let (question, turns) = (question.to_string(), vec![sample.replies.get(at)?.clone()]);
                let id = format!("{name}-{question}");
                Some(Answer { question, id, turns, error: None, timestamp: 0.0, sampled: None })
            };
            let answers = self.samples.iter().enumerate().filter_map(answer);
            Answers::new(name, answers).write(&folder.join(format!("{name}.jsonl")))?;
        }
        Ok(())
    }

    /// What became of the evolutions, round by round and in all, as a head and its rows: what lives, then each rule.
    fn passed(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let rounds: Vec<(&usize, &Passed)> =
            self.evolution.rounds.iter().filter(|(round, _)| **round > 0).collect();
        let row = |name: String, of: &dyn Fn(&Passed) -> usize| {
            let each = rounds.iter().map(|(_, passed)| (of(passed), passed.made));
            let all = each.clone().fold((0, 0), |(part, made), it| (part + it.0, made + it.1));
            let share = |(part, made): (usize, usize)| format!("{:.1} %", 100.0 * part as f64 / made as f64);
            std::iter::once(name).chain(each.chain([all]).map(share)).collect()
        };
        let ended = self.evolution.rules().into_iter().map(|(rule, _)| {
            row(format!("ended by {rule}"), &|passed| passed.ended.get(&rule).copied().unwrap_or(0))
        });
        let rows = std::iter::once(row("lives".to_owned(), &|passed| passed.lives)).chain(ended).collect();
        let heads = rounds.iter().map(|(round, passed)| format!("round {round}, of {}", passed.made));
        (std::iter::once(String::new()).chain(heads).chain(["all".to_owned()]).collect(), rows)
    }

    /// The models' measures under [`MEASURES`].
    fn measures(&self) -> Vec<Vec<String>> {
        let cell = |measure: &Option<(f64, f64)>| {
            measure.map_or("–".to_owned(), |(mean, error)| {
                format!("{} ± {}", rounded(mean, error), rounded(error, error))
            })
        };
        let row = |row: &ModelRow| {
            let cells = row.losses.iter().chain(&row.overlaps).map(cell);
            std::iter::once(row.name.clone()).chain(cells).collect()
        };
        self.models.iter().map(row).collect()
    }
}

const MEASURES: [&str; 5] = ["model", "loss, first", "loss, evolved", "ROUGE-L, first", "ROUGE-L, evolved"];

impl Shown for Details {
    fn text(&self) -> String {
        let (heads, passed) = self.passed();
        let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
        let forecast = self.evolution.forecast.as_ref().map(|it| it.beside(&self.evolution.spent));
        format!(
            "{}\n{}\n{}",
            text_table(&heads, &passed, &[0]),
            text_table(&MEASURES, &self.measures(), &[0]),
            forecast.unwrap_or_default()
        )
    }

    fn body(&self) -> anyhow::Result<String> {
        let (heads, passed) = self.passed();
        let mut environment = environment();
        environment.add_template("body", include_str!("body.html.j2"))?;
        Ok(environment.get_template("body")?.render(minijinja::context! {
            heads, passed, measures => MEASURES, models => self.measures(),
            report => minijinja::Value::from(minijinja::value::Serde(self)),
        })?)
    }
}
