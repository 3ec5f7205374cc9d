//! What every arm shares: the base, the evolutions, the exams; and how one arm is tuned and measured.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::Device;
use camelid_chat::{Conversation, GenerateOptions, Message, Role, Template};
use camelid_data::nano::Domain;
use camelid_data::tokens::{TokenReport, TokenizeOptions, TokenizedSet, Truncation};
use camelid_evolve::{Row, mix};
use camelid_model::{Llama, LocalGenerator};
use serde::{Deserialize, Serialize};

use super::arm::{Arm, Size};
use super::evolver::read;
use super::exam::{Mark, sit};
use super::lineages::{Exam, Item, Lineages, Plan, Sizes, checked};
use super::programs::{PROGRAMS, Posed, write_and_run};
use crate::nano::Nano;
use crate::{Children, Comparison, Experiment, Length, Opened, Ran, RecipeError, RunOptions};

/// Passes over an arm's rows, as in the paper.
const EPOCHS: f64 = 3.0;
/// Tokens of an answer that is kept at most.
const SAMPLE_TOKENS: usize = 80;

/// What a recipe evolves and examines.
#[derive(Clone, Debug)]
pub struct Design {
    /// The recipe, raised whenever it measures something in another way.
    pub recipe: &'static str,
    /// Its evolutions.
    pub plans: &'static [Plan],
    /// Its exams.
    pub exams: Vec<Exam>,
    /// How much of everything there is.
    pub sizes: Sizes,
    /// Evolutions that are measured themselves, whether an arm takes their rows or not.
    pub measured: &'static [&'static str],
    /// Items of each exam to which the first seed's greedy answers are kept.
    pub answered: usize,
}

/// The shared part of a recipe.
pub struct Study {
    /// Settings and outcomes of the arms.
    pub comparison: Comparison,
    /// The base; each arm has rows of its own.
    pub opened: Opened,
    /// Every evolution.
    pub lineages: Lineages,
    /// The world, for what is to be known exactly.
    pub nano: Nano,
    rows: usize,
    answered: usize,
    /// The arms, their rows a step filled in.
    pub arms: Vec<Arm>,
    /// The device.
    pub device: Device,
}

/// A tuned arm, one seed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuned {
    /// The arm's name.
    pub arm: String,
    /// The seed of its rows and of their order.
    pub seed: u64,
    /// Different rows.
    pub rows: usize,
    /// Tokens tuned on, all passes together.
    pub tokens: usize,
    /// What came of each item of its exam.
    pub marks: Vec<Mark>,
    /// Its greedy answers to some of them, of the first seed.
    pub samples: Vec<String>,
    /// Training loss of every step.
    pub step_losses: Vec<f64>,
    /// Seconds of training.
    pub seconds: f64,
}

impl Study {
    /// Makes what is not there yet of the evolutions that `arms` and the design name, and opens what the arms
    /// share; the base must have been made.
    ///
    /// # Errors
    /// As [`Lineages::open`]; an experiment whose length is not in steps; a base that cannot be read.
    pub fn prepare(
        experiment: Experiment,
        options: &RunOptions,
        design: &Design,
        mut arms: Vec<Arm>,
    ) -> Result<Self, RecipeError> {
        let folder = options.runs.join(&experiment.name);
        let nano = Nano::of(&experiment, &options.runs)?;
        let mut names = design.measured.to_vec();
        for arm in &arms {
            names.extend(arm.lineages);
            if let Size::TokensOf(other) = arm.size {
                names.extend(other.lineages);
            }
        }
        let (made_of, sizes) = ((design.plans, design.exams.as_slice()), design.sizes);
        let lineages = Lineages::open(&nano.world, made_of, &sizes, &folder.join("lineages"), &names)?;
        let data = Data { experiment: &experiment, nano: &nano, lineages: &lineages, rows: sizes.rows };
        for arm in &mut arms {
            arm.rows_a_step = data.rows_a_step(arm)?;
        }
        let about = design.exams.iter().map(|exam| {
            let (count, parts) = (lineages.exam(exam.domain).len(), exam.parts.clone().count());
            let mut line = format!("Exam: {count} held-out instructions of {parts} {}s", exam.by);
            if exam.development > 0 {
                let development = lineages.exam(exam.domain).iter().filter(|item| item.development).count();
                line += &format!(", {development} of them for choices alone");
            }
            line
        });
        let opened = Opened {
            base: nano.base().to_owned(),
            tokenizer: nano.tokenizer.clone(),
            template: Template::builtin(&experiment.data.template)?,
            // Each arm has rows of its own.
            train: TokenizedSet { examples: Vec::new(), report: TokenReport::default() },
            test: None,
            test_conversations: Vec::new(),
            about: std::iter::once(nano.about()).chain(about).collect(),
            notices: Vec::new(),
        };
        let comparison =
            Comparison::new(experiment, &opened, design.recipe, lineages.key.as_bytes(), folder)?;
        let (rows, answered, device) = (sizes.rows, design.answered, options.device()?);
        Ok(Self { comparison, opened, lineages, nano, rows, answered, arms, device })
    }

    /// Runs every arm with so many seeds ([`Comparison::run`]), one on each core; `None` when interrupted.
    ///
    /// # Errors
    /// A child that fails or leaves nothing.
    pub fn run(
        &self,
        seeds: u64,
        children: &Children,
        part: impl Fn(&str, u64) -> Vec<String> + Sync,
        interrupted: &AtomicBool,
    ) -> Result<Option<Ran<Tuned>>, RecipeError> {
        let seeded: Vec<(Arm, u64)> = self.arms.iter().map(|arm| (arm.clone(), seeds)).collect();
        self.comparison.run(&seeded, &children.clone().one_a_core(), part, interrupted)
    }

    /// Tunes one arm with one seed and leaves its outcome; `false` when interrupted.
    ///
    /// # Errors
    /// The trainer's, a model that cannot be asked, a disk that is full.
    pub fn tune(&self, arm: &Arm, seed: u64) -> Result<bool, RecipeError> {
        let train = self.data().rows_of(arm, seed)?;
        let rows = train.examples.len();
        let base = self.opened.model(&self.comparison.experiment, &self.device.clone().autodiff())?;
        let Some((model, summary)) = self.comparison.train(arm, seed, base, train, None)? else {
            return Ok(false);
        };
        let model = model.valid();
        let outcome = Tuned {
            arm: arm.name.to_owned(),
            seed,
            rows,
            tokens: summary.tokens,
            marks: self.marks(&model, arm.exam)?,
            samples: if seed == 0 { self.answers(&model, arm.exam)? } else { Vec::new() },
            step_losses: summary.losses,
            seconds: summary.seconds,
        };
        self.comparison.keep(arm, seed, outcome)?;
        Ok(true)
    }

    /// The untuned base on an exam.
    ///
    /// # Errors
    /// A base that cannot be loaded, a disk that is full.
    pub fn untuned(&self, exam: Domain) -> Result<Vec<Mark>, RecipeError> {
        let name = format!("untuned-{exam:?}").to_lowercase();
        self.comparison.once(&name, || {
            let model = self.opened.model(&self.comparison.experiment, &self.device)?;
            self.marks(&model, exam)
        })
    }

    /// The items whose answers are kept.
    pub fn answered(&self, exam: Domain) -> impl Iterator<Item = &Item> {
        let items = self.lineages.exam(exam);
        items.iter().step_by((items.len() / self.answered.max(1)).max(1)).take(self.answered)
    }

    fn marks(&self, model: &Llama, exam: Domain) -> Result<Vec<Mark>, RecipeError> {
        let items = self.lineages.exam(exam).iter().enumerate();
        let conversations: Vec<Conversation> =
            items.map(|(at, item)| exchange(at.to_string(), &item.instruction, &item.answer)).collect();
        let set = self.data().tokenised(&conversations)?;
        match exam {
            Domain::Programs => write_and_run(model, &self.opened.tokenizer, &set, &self.problems()?),
            Domain::General | Domain::Arithmetic => sit(model, &set, &self.device),
        }
    }

    /// The programs that are asked for. Choices are made by greedy ones alone.
    fn problems(&self) -> Result<Vec<Posed>, RecipeError> {
        let posed = |item: &Item| {
            let task = read(&item.instruction).and_then(|(_, read)| read.task(&self.nano.world));
            let task = task.ok_or_else(|| RecipeError::Experiment {
                path: self.comparison.experiment.name.clone().into(),
                line: None,
                reason: format!("no tests tell programs for `{}` apart", item.instruction),
            })?;
            Ok(Posed { task, drawn: if item.development { 0 } else { PROGRAMS } })
        };
        self.lineages.exam(Domain::Programs).iter().map(posed).collect()
    }

    fn answers(&self, model: &Llama, exam: Domain) -> Result<Vec<String>, RecipeError> {
        let generator =
            LocalGenerator::new(model, self.opened.tokenizer.clone(), self.opened.template.clone())?;
        let options = GenerateOptions { max_new_tokens: SAMPLE_TOKENS, ..GenerateOptions::default() };
        let answer = |item: &Item| {
            let message = [Message::new(Role::User, item.instruction.as_str())];
            let mut go_on = |_: &str| ControlFlow::Continue(());
            Ok(generator.answer(&message, &options, &mut go_on)?.text)
        };
        self.answered(exam).map(answer).collect()
    }

    fn data(&self) -> Data<'_> {
        Data {
            experiment: &self.comparison.experiment,
            nano: &self.nano,
            lineages: &self.lineages,
            rows: self.rows,
        }
    }
}

/// From lineages to tokens.
struct Data<'a> {
    experiment: &'a Experiment,
    nano: &'a Nano,
    lineages: &'a Lineages,
    /// Rows of an arm that is matched by rows.
    rows: usize,
}

impl Data<'_> {
    /// The rows that an arm is tuned on with a seed.
    fn rows_of(&self, arm: &Arm, seed: u64) -> Result<TokenizedSet, RecipeError> {
        let joined: Vec<Row> = arm.lineages.iter().flat_map(|name| self.own_rows(name, arm)).collect();
        let rows = mix(&joined, arm.mix, seed, None)?;
        let Size::TokensOf(other) = arm.size else {
            return self.tokenised(&conversations(&rows[..self.rows.min(rows.len())]));
        };
        let wanted = self.rows_of(other, seed)?.report.tokens;
        // Few of them are much shorter than those of the other arm.
        let mut set = self.tokenised(&conversations(&rows[..rows.len().min(3 * self.rows)]))?;
        let mut tokens = 0;
        set.examples.retain(|example| {
            let fits = tokens < wanted;
            tokens += if fits { example.ids.len() } else { 0 };
            fits
        });
        set.report.tokens = tokens;
        Ok(set)
    }

    /// The rows of one of an arm's lineages, their ids their own; what they begin with is taken from the first.
    fn own_rows(&self, name: &str, arm: &Arm) -> impl Iterator<Item = Row> {
        let is_first = arm.lineages.first() == Some(&name);
        let is_right = |row: &&Row| {
            let answer = row.response.as_deref().unwrap_or_default();
            checked(&self.nano.world, &row.instruction, answer).is_some_and(|answer| answer.is_right())
        };
        let rows = self.lineages.of(name).iter().filter(move |row| is_first || row.round > 0);
        let rows = rows.filter(|row| self.lineages.may_be_learnt(row));
        let checks = arm.checked;
        let rows = rows.filter(move |row| !checks || is_right(row));
        rows.map(move |row| match is_first {
            true => row.clone(),
            false => Row { id: format!("{name} {}", row.id), ..row.clone() },
        })
    }

    /// How many rows a step takes, so that the steps are [`EPOCHS`] passes.
    fn rows_a_step(&self, arm: &Arm) -> Result<usize, RecipeError> {
        let Length::Steps(steps) = self.experiment.length else {
            return Err(RecipeError::Experiment {
                path: self.experiment.name.clone().into(),
                line: None,
                reason: "`length`: expected steps".to_owned(),
            });
        };
        let rows = self.rows_of(arm, 0)?.examples.len();
        Ok(((rows as f64 * EPOCHS / steps as f64).round() as usize).max(1))
    }

    fn tokenised(&self, conversations: &[Conversation]) -> Result<TokenizedSet, RecipeError> {
        let data = &self.experiment.data;
        let truncation = Truncation { total: Some(data.max_length), ..Truncation::default() };
        let options = TokenizeOptions { loss_on: data.loss_on, truncation };
        let template = Template::builtin(&data.template)?;
        Ok(TokenizedSet::build(conversations, &self.nano.tokenizer, &template, &options)?)
    }
}

fn conversations(rows: &[&Row]) -> Vec<Conversation> {
    let of = |row: &&Row| Some(exchange(row.id.clone(), &row.instruction, row.response.as_ref()?));
    rows.iter().filter_map(of).collect()
}

fn exchange(id: String, instruction: &str, answer: &str) -> Conversation {
    let mut conversation = Conversation::new(id);
    conversation.push(Role::User, instruction);
    conversation.push(Role::Assistant, answer);
    conversation
}
