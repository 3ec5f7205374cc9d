//! A whole run: what it will take, the answers and the judgments.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use camelid_chat::requests::{Estimate, Progress, Reply, RequestStore, RunSettings, Runner};
use camelid_files::FileError;

use super::answers::Answers;
use super::ask::{Ask, DryRun, Live, Stage};
use super::error::JudgeError;
use super::judging::{Exhibits, Judge, Mode, Opponents};
use super::judgment::Judgment;
use super::model::Model;
use super::questions::QuestionSet;

/// Everything a run needs but the store of replies. A run that was broken off and is started again
/// with its store goes on where it was.
pub struct Session {
    /// The questions.
    pub questions: QuestionSet,
    /// Right answers, besides those that questions have of their own.
    pub references: Option<Answers>,
    /// Seed of the answers' sampling.
    pub seed: u64,
    /// Models to be asked.
    pub models: Vec<Model>,
    /// Answers that are there already.
    pub given: Vec<Answers>,
    /// The judge, its prompts, and how answers and judgments are sampled.
    pub judge: Judge,
    /// What the judge is asked for.
    pub mode: Mode,
    /// Which models are compared.
    pub opponents: Opponents,
    /// Most that the run may spend on all models together, in the currency of their prices.
    pub spending_limit: Option<f64>,
}

/// What a run will take.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// For each model its answers.
    pub answers: Vec<(String, Estimate)>,
    /// For the judge.
    pub judgments: Estimate,
}

/// What was asked. All counts are of distinct requests.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Replies that were in the store.
    pub stored: usize,
    /// Replies that arrived.
    pub answered: usize,
    /// Requests that came to nothing.
    pub failed: usize,
    /// Requests among them that were never sent, because the server had failed too often.
    pub not_asked: usize,
    /// Spent, in the currency of the prices; 0 without prices.
    pub spent: f64,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Answers of all models: given ones first.
    pub answers: Vec<Answers>,
    /// How many of them were given.
    pub given: usize,
    /// The judgments.
    pub judgments: Vec<Judgment>,
    /// What was asked.
    pub tally: Tally,
}

impl Session {
    /// What of the models' files was not taken as it stands there, and what of the given answers does
    /// not count; a line each that begins with the model's name.
    pub fn notes(&self) -> Vec<String> {
        let judge = &self.judge.model;
        let judges_itself = self.models.iter().any(|model| model.request_name == judge.request_name);
        let all = self.models.iter().chain((!judges_itself).then_some(judge));
        let mut notes: Vec<String> =
            all.flat_map(|model| model.notes.iter().map(|note| format!("{}: {note}", model.name))).collect();
        let asked: BTreeSet<&str> = self.questions.questions.iter().map(|q| q.id.as_str()).collect();
        for answers in &self.given {
            let others = answers.all().iter().filter(|a| !asked.contains(a.question.as_str())).count();
            if others > 0 {
                notes.push(format!(
                    "{}: {others} of {} answers are to questions that are not among those judged; they do not count",
                    answers.model,
                    answers.all().len()
                ));
            }
        }
        notes
    }

    /// What the run will take, as far as it is not in the store. Nothing is asked.
    ///
    /// # Errors
    /// What [`Judge::matches`] finds missing; settings of a runner that are out of their range.
    pub fn forecast(&self, store: &RequestStore) -> Result<Forecast, JudgeError> {
        let mut answers = self.given.clone();
        let mut estimates = Vec::new();
        for model in &self.models {
            let mut dry = DryRun::new(store);
            answers.push(self.answers(&mut dry, model)?);
            let runner = self.runner(model, store, 0.0)?;
            estimates.push((model.name.clone(), dry.estimate(&runner)));
        }
        let mut dry = DryRun::new(store);
        self.judgments(&mut dry, &answers)?;
        let accepts = self.accepts();
        let runner = self.runner(&self.judge.model, store, 0.0)?.accepting(&accepts);
        Ok(Forecast { answers: estimates, judgments: dry.estimate(&runner) })
    }

    /// Gathers the answers, then the judgments. `progress` is called at the start of each batch
    /// and after each change; a raised `stop` ends the run early.
    ///
    /// # Errors
    /// [`JudgeError::Run`] when a batch ended early: what had arrived is in the store, and the
    /// next run goes on from there; what [`Judge::matches`] finds missing.
    pub fn run(
        &self,
        store: &RequestStore,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(&Stage, Progress),
    ) -> Result<Judged, JudgeError> {
        let mut tally = Tally::default();
        let mut answers = self.given.clone();
        for model in &self.models {
            let runner = self.runner(model, store, tally.spent)?.stop_on(stop);
            let mut counted = Counted::new(progress);
            let gathered = self.answers(&mut Live::new(&runner, &mut |s, p| counted.see(s, p)), model);
            answers.push(gathered?);
            counted.add_to(&mut tally);
            tally.spent += runner.spent();
        }
        let accepts = self.accepts();
        let runner = self.runner(&self.judge.model, store, tally.spent)?.stop_on(stop).accepting(&accepts);
        let mut counted = Counted::new(progress);
        let judged = self.judgments(&mut Live::new(&runner, &mut |s, p| counted.see(s, p)), &answers);
        let judgments = judged?;
        counted.add_to(&mut tally);
        tally.spent += runner.spent();
        Ok(Judged { answers, given: self.given.len(), judgments, tally })
    }

    /// A runner that may spend what is left of the limit. A model without prices costs nothing.
    fn runner<'a>(
        &self,
        model: &'a Model,
        store: &'a RequestStore,
        spent: f64,
    ) -> Result<Runner<'a>, JudgeError> {
        let limit = self.spending_limit.filter(|_| model.settings.prices.is_some());
        let settings = RunSettings {
            spending_limit: limit.map(|limit| (limit - spent).max(0.0)),
            ..model.settings.clone()
        };
        Ok(Runner::new(model.generator.as_ref(), store, settings)?)
    }

    /// Which replies of the judge are kept.
    fn accepts(&self) -> impl Fn(&Reply) -> Result<(), String> + Sync {
        let (judge, format) = (&self.judge, self.mode.output());
        move |reply| judge.accepts(reply, format)
    }

    fn answers(&self, ask: &mut dyn Ask, model: &Model) -> Result<Answers, JudgeError> {
        Ok(Answers::ask(ask, model, &self.questions, &self.judge.protocol, self.seed)?)
    }

    fn judgments(&self, ask: &mut dyn Ask, answers: &[Answers]) -> Result<Vec<Judgment>, JudgeError> {
        let exhibits = Exhibits { questions: &self.questions, answers, references: self.references.as_ref() };
        let matches = self.judge.matches(self.mode, &self.opponents, exhibits)?;
        Ok(self.judge.judge(ask, &matches)?)
    }
}

/// Passes progress on and keeps the last of each batch.
struct Counted<'a> {
    progress: &'a mut dyn FnMut(&Stage, Progress),
    batches: Vec<(Stage, Progress)>,
}

impl<'a> Counted<'a> {
    fn new(progress: &'a mut dyn FnMut(&Stage, Progress)) -> Self {
        Self { progress, batches: Vec::new() }
    }

    fn see(&mut self, stage: &Stage, progress: Progress) {
        match self.batches.last_mut() {
            Some((last, seen)) if last == stage => *seen = progress,
            _ => self.batches.push((stage.clone(), progress)),
        }
        (self.progress)(stage, progress);
    }

    fn add_to(self, tally: &mut Tally) {
        for (_, progress) in self.batches {
            tally.stored += progress.stored;
            tally.answered += progress.answered;
            tally.failed += progress.failed;
            tally.not_asked += progress.not_asked;
        }
    }
}

impl Forecast {
    /// The forecast, a line for each model, with costs where prices are known.
    pub fn lines(&self) -> Vec<String> {
        let line = |what: &str, estimate: &Estimate| {
            let cost = estimate.cost.zip(estimate.cost_at_most).map_or_else(String::new, |(cost, most)| {
                format!("; cost about {cost:.2}, at most {most:.2}, in the currency of the prices")
            });
            format!(
                "{what}: {} requests to make ({} are stored), about {:.0} tokens in and {:.0} out{cost}",
                estimate.new, estimate.stored, estimate.prompt_tokens, estimate.new_tokens
            )
        };
        let answers =
            self.answers.iter().map(|(model, estimate)| line(&format!("answers of {model}"), estimate));
        answers.chain([line("judgments", &self.judgments)]).collect()
    }
}

impl Judged {
    /// Why the run cannot count as done, though it came to its end: there is not one verdict, or none on
    /// one of the models, or a server was given up.
    pub fn shortcoming(&self) -> Option<String> {
        let reason = |of: &dyn Fn(&Judgment) -> bool| {
            let failed = self.judgments.iter().filter(|row| of(row)).find_map(|row| row.error.as_deref());
            failed.map_or_else(String::new, |reason| format!(": {reason}"))
        };
        let count = self.judgments.len();
        if count > 0 && self.judgments.iter().all(|row| row.verdict.is_none()) {
            return Some(format!("not one verdict came of {count} judgments{}", reason(&|_| true)));
        }
        let models: BTreeSet<&String> =
            self.judgments.iter().flat_map(|row| std::iter::once(&row.model).chain(&row.opponent)).collect();
        for model in models {
            let on = |row: &Judgment| row.model == *model || row.opponent.as_ref() == Some(model);
            if !self.judgments.iter().any(|row| on(row) && row.verdict.is_some()) {
                return Some(format!("not one verdict came on {model}{}", reason(&on)));
            }
        }
        let (left, reason) = (self.tally.not_asked, reason(&|_| true));
        (left > 0).then(|| format!("gave up with {left} requests not made{reason}"))
    }

    /// Writes the answers of models that were asked into `folder`, a FastChat file each, whole or
    /// not at all; their paths.
    ///
    /// # Errors
    /// [`JudgeError::File`]; [`JudgeError::Models`] for two names that make the same file.
    pub fn write_answers(&self, folder: &Path) -> Result<Vec<PathBuf>, JudgeError> {
        let mut paths: Vec<PathBuf> = Vec::new();
        for answers in &self.answers[self.given..] {
            let plain = |c: char| c.is_alphanumeric() || "._-+=".contains(c);
            let name: String = answers.model.chars().map(|c| if plain(c) { c } else { '-' }).collect();
            let path = folder.join(format!("{name}.jsonl"));
            if paths.contains(&path) {
                return Err(JudgeError::Models {
                    message: format!("the answers of two models would be {}", path.display()),
                    present: self.answers.iter().map(|a| a.model.as_str()).collect::<Vec<_>>().join(", "),
                });
            }
            paths.push(path);
        }
        if !paths.is_empty() {
            std::fs::create_dir_all(folder).map_err(FileError::io(folder, "create"))?;
        }
        for (answers, path) in self.answers[self.given..].iter().zip(&paths) {
            answers.write(path)?;
        }
        Ok(paths)
    }
}

impl Tally {
    /// The tally in words.
    pub fn lines(&self, priced: bool) -> Vec<String> {
        let mut lines = vec![format!(
            "{} requests were made, {} replies were in the store, {} requests came to nothing",
            self.answered, self.stored, self.failed
        )];
        if self.failed > 0 {
            lines.push("the same command again asks for what came to nothing".to_owned());
        }
        if self.not_asked > 0 {
            lines.push(format!(
                "{} of them were not made at all: the server failed too often in a row",
                self.not_asked
            ));
        }
        if priced {
            lines.push(format!("spent in this run: {:.4}, in the currency of the prices", self.spent));
        }
        lines
    }
}
