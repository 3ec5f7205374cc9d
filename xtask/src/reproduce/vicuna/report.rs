//! From what was measured to the report.

use camelid_data::TokenizedSet;
use camelid_data::nano::ChatItem;
use camelid_eval::exact_match::Marked;
use camelid_recipe::rounded;
use camelid_report::{COLOURS, Line, bar, environment, horizontal_bars, line_chart, text_table};
use plotters::prelude::{BLACK, PathElement};
use serde::Serialize;

use super::arms::{ALL_ROUNDS, Arm};
use super::context::Context;
use super::evidence::{Measured, percent};
use super::exam::Group;
use super::pages::Funnel;
use super::study::Study;
use crate::reproduce::tuning::Shown;

/// Questions shown with their answers.
const SAMPLES: usize = 8;
/// The groups that are drawn.
const DRAWN: [Group; 3] = [Group::First, Group::Later, Group::Knowledge];

/// What the recipe measured, in the rows of its report.
#[derive(Debug, Clone, Serialize)]
pub struct Details {
    /// What became of the raw pages.
    pub funnel: Funnel,
    /// The groups that scores are given for.
    pub groups: Vec<&'static str>,
    /// The untuned base, then what each arm reached.
    pub arms: Vec<ArmRow>,
    /// How many seeds each arm has.
    pub seeds: usize,
    /// Keys found, in percent by length.
    pub context: Vec<ContextRow>,
    /// The lengths, in tokens.
    pub lengths: Vec<usize>,
    /// Answers before and after.
    pub samples: Vec<Sample>,
}

/// One arm over its seeds.
#[derive(Debug, Clone, Serialize)]
pub struct ArmRow {
    /// Its name.
    pub name: String,
    /// What it is, in words.
    pub label: String,
    /// Conversations it was tuned on.
    pub conversations: usize,
    /// Tokens it was tuned on, mean over seeds.
    pub tokens: usize,
    /// Those of its conversations that carry loss, in percent.
    pub supervised: f64,
    /// Percent right, by group.
    pub scores: Vec<Score>,
    /// Loss on cleaned test conversations, nats per token, mean over seeds.
    pub test_loss: Option<f64>,
    /// Seconds of training, mean over seeds.
    pub seconds: f64,
}

/// Percent right and its standard error.
pub type Score = Option<(f64, f64)>;

/// Keys found by one model.
#[derive(Debug, Clone, Serialize)]
pub struct ContextRow {
    /// The model.
    pub name: String,
    /// How many seeds.
    pub seeds: usize,
    /// Percent found and its standard error, by length.
    pub found: Vec<Score>,
}

/// One question with its answers.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// The dialogue so far, a turn a line.
    pub asked: String,
    /// The right answer.
    pub expected: String,
    /// What the base said.
    pub before: String,
    /// What the main arm said.
    pub after: String,
}

impl Details {
    /// The rows of what was measured.
    pub fn of(study: &Study, measured: &Measured) -> Self {
        Self {
            funnel: study.funnel.clone(),
            groups: Group::ALL.map(Group::name).to_vec(),
            seeds: measured.seeds_of(&ALL_ROUNDS).count(),
            arms: arm_rows(study, measured),
            context: context_rows(measured.context),
            lengths: Context::lengths(measured.context.known).to_vec(),
            samples: samples(study, measured),
        }
    }

    /// Bars of every arm for first turns, later turns and knowledge.
    fn score_bars(&self) -> anyhow::Result<String> {
        let names: Vec<&str> = self.arms.iter().map(|arm| arm.name.as_str()).collect();
        let what = "percent right";
        horizontal_bars(&names, 100.0, what, |canvas, x, y| {
            for (i, arm) in self.arms.iter().enumerate() {
                for (at, group) in DRAWN.iter().enumerate() {
                    let found = self.groups.iter().zip(&arm.scores).find(|(name, _)| **name == group.name());
                    let Some((mean, error)) = found.and_then(|(_, score)| *score) else { continue };
                    let top = y(i) + 9 * at as i32;
                    bar(canvas, x(0.0), x(mean), top, 7, COLOURS[at])?;
                    let (low, high) = (x((mean - error).max(0.0)), x((mean + error).min(100.0)));
                    canvas.draw(&PathElement::new([(low, top + 3), (high, top + 3)], BLACK))?;
                }
            }
            Ok(())
        })
    }
}

impl Shown for Details {
    fn text(&self) -> String {
        let score = |score: &Score| {
            score.map_or("–".to_owned(), |(mean, error)| {
                format!("{} ± {}", rounded(mean, error), rounded(error, error))
            })
        };
        let table = |header: &[&str], rows: Vec<(&str, &[Score])>| {
            let row = |(name, scores): &(&str, &[Score])| {
                std::iter::once((*name).to_owned()).chain(scores.iter().map(score)).collect::<Vec<_>>()
            };
            text_table(header, &rows.iter().map(row).collect::<Vec<_>>(), &[0])
        };
        let arms = self.arms.iter().map(|arm| (arm.name.as_str(), &arm.scores[..])).collect();
        let header: Vec<&str> = std::iter::once("percent right").chain(self.groups.iter().copied()).collect();
        let arms = table(&header, arms);
        let names: Vec<String> = self.lengths.iter().map(|length| format!("{length} tokens")).collect();
        let header: Vec<&str> =
            std::iter::once("percent of keys found").chain(names.iter().map(String::as_str)).collect();
        let context = self.context.iter().map(|row| (row.name.as_str(), &row.found[..])).collect();
        format!("{arms}\n{}", table(&header, context))
    }

    fn body(&self) -> anyhow::Result<String> {
        let mut environment = environment();
        environment.add_filter("within", |value: f64, error: f64| rounded(value, error));
        environment.add_template("body", include_str!("body.html.j2"))?;
        let points = |row: &ContextRow| {
            self.lengths.iter().zip(&row.found).filter_map(|(x, y)| Some((*x as f64, (*y)?.0))).collect()
        };
        let lines: Vec<Line> =
            self.context.iter().map(|row| Line { name: &row.name, points: points(row) }).collect();
        Ok(environment.get_template("body")?.render(minijinja::context! {
            report => minijinja::Value::from(minijinja::value::Serde(self)),
            plot_scores => self.score_bars()?,
            plot_context => line_chart(&lines, "tokens of the conversation", "keys found, percent")?,
        })?)
    }
}

fn arm_rows(study: &Study, measured: &Measured) -> Vec<ArmRow> {
    let untuned = ArmRow {
        name: "untuned base".to_owned(),
        label: String::new(),
        conversations: 0,
        tokens: 0,
        supervised: 0.0,
        scores: Group::ALL.map(|group| score(&[measured.untuned], |answer| group.has(answer))).to_vec(),
        test_loss: None,
        seconds: 0.0,
    };
    let row = |(arm, set): &(Arm, TokenizedSet)| {
        let seeds: Vec<_> = measured.seeds_of(arm).collect();
        let n = seeds.len().max(1);
        let answers: Vec<_> = seeds.iter().map(|tuned| tuned.answers.as_slice()).collect();
        ArmRow {
            name: arm.name.to_owned(),
            label: arm.label.to_owned(),
            conversations: set.examples.len(),
            tokens: seeds.iter().map(|tuned| tuned.tokens).sum::<usize>() / n,
            supervised: 100.0 * set.report.supervised_tokens as f64 / set.report.tokens as f64,
            scores: Group::ALL.map(|group| score(&answers, |answer| group.has(answer))).to_vec(),
            test_loss: Some(seeds.iter().map(|tuned| tuned.test_loss).sum::<f64>() / n as f64),
            seconds: seeds.iter().map(|tuned| tuned.seconds).sum::<f64>() / n as f64,
        }
    };
    std::iter::once(untuned).chain(study.arms.iter().map(row)).collect()
}

fn context_rows(context: &Context) -> Vec<ContextRow> {
    let long: Vec<_> = context.long.iter().map(|long| long.answers.as_slice()).collect();
    let models = [
        (format!("tuned within {} tokens", context.known), vec![context.short.plain.as_slice()]),
        ("its positions condensed".to_owned(), vec![context.short.condensed.as_slice()]),
        ("condensed and tuned".to_owned(), long),
    ];
    let row = |(name, seeds): (String, Vec<&[Marked]>)| {
        let at = |length: usize| score(&seeds, |answer| answer.category == length.to_string());
        ContextRow { name, seeds: seeds.len(), found: Context::lengths(context.known).map(at).to_vec() }
    };
    models.into_iter().map(row).collect()
}

/// Percent right of the questions that `counts`, over a model's seeds, with its standard error: the
/// questions are the same for every seed, so they count once.
fn score(seeds: &[&[Marked]], counts: impl Fn(&Marked) -> bool) -> Score {
    let mean = percent(seeds, &counts)?;
    let questions = seeds.first()?.iter().filter(|answer| counts(answer)).count();
    Some((mean, (mean * (100.0 - mean) / questions as f64).sqrt()))
}

/// Questions of different skills and turns with the answers of the base and of the main arm.
fn samples(study: &Study, measured: &Measured) -> Vec<Sample> {
    let Some(tuned) = measured.seeds_of(&ALL_ROUNDS).next() else { return Vec::new() };
    let every = (study.items.len() / SAMPLES).max(1);
    let answers = measured.untuned.iter().zip(&tuned.answers);
    let sample = |(item, (before, after)): (&ChatItem, (&Marked, &Marked))| {
        let turns = item.conversation.messages.iter().map(|message| message.content.as_str());
        Sample {
            asked: turns.collect::<Vec<_>>().join("\n"),
            expected: item.expected.clone(),
            before: before.text.clone(),
            after: after.text.clone(),
        }
    };
    study.items.iter().zip(answers).step_by(every).take(SAMPLES).map(sample).collect()
}
