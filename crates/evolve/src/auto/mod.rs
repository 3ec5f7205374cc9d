//! Auto Evol-Instruct (arXiv 2406.00770) in its simple form: an optimizer model reads what failed under a
//! method of evolution and proposes other methods; the one that fails least on a sample stays.

mod failure;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::EvolveError;
use crate::asking::{Answered, Asked, Books, Desk, Model, Stage, hash};
use crate::evolution::Seed;
use crate::lineage::{Call, Task};
use crate::operators::OperatorSet;
use crate::reply::instruction_of;
use crate::rules::RuleSettings;
use crate::template::{Slot, Template};
use failure::of_response;

/// How the search goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AutoSettings {
    /// Steps of optimisation. Default 3; the paper's methods grow worse after about 12.
    pub steps: usize,
    /// Methods proposed in a step. Default 5, as in the paper.
    pub candidates: usize,
    /// Seeds on which every method is measured. Default 50.
    pub sample: usize,
    /// Failed rewritings that the optimizer sees. Default 10.
    pub shown: usize,
    /// Seed of the sample and of sampling.
    pub seed: u64,
}

impl Default for AutoSettings {
    fn default() -> Self {
        Self { steps: 3, candidates: 5, sample: 50, shown: 10, seed: 0 }
    }
}

/// A method, and how often it fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// `0` for the first; `2.3` for the third candidate of step 2.
    pub id: String,
    /// The version that it improves.
    pub parent: Option<String>,
    /// The method's words; empty where the optimizer's reply had none.
    pub method: String,
    /// Share of the sample that failed; 1 where there is no method.
    pub failure_rate: f64,
    /// What the failures were, and how many.
    pub failures: BTreeMap<String, usize>,
    /// Whether it took the place of the best before.
    pub stays: bool,
    /// The requests made for it.
    pub calls: Vec<Call>,
}

impl Version {
    /// The operators of an evolution by this method alone.
    pub fn operators(&self) -> OperatorSet {
        OperatorSet::by_method(&self.method)
    }
}

/// A search for a better method.
pub struct AutoEvolve<'a> {
    /// How it goes.
    pub settings: &'a AutoSettings,
    /// The rules that a rewriting may not break; the detectors of failed answers apply besides.
    pub rules: &'a RuleSettings,
    /// The method to begin with; Camelid's own unless given.
    pub method: Option<&'a str>,
    /// Rewrites.
    pub evolver: Model<'a>,
    /// Answers.
    pub answerer: Model<'a>,
    /// Reads failures and proposes methods.
    pub optimizer: Model<'a>,
    /// Where replies are kept, and what may be spent.
    pub desk: Desk<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prompts {
    method: String,
    analyse: String,
    revise: String,
}

static PROMPTS: LazyLock<Prompts> =
    LazyLock::new(|| toml::from_str(include_str!("prompts.toml")).expect("the file is part of the program"));

/// What became of a method on the sample.
struct Measured {
    version: Version,
    /// Failed rewritings: the task, what came of it, and what was wrong.
    failed: Vec<[String; 3]>,
}

impl AutoEvolve<'_> {
    /// Every version in the order in which it was made; the last that stays is the best.
    ///
    /// The result depends on seeds, settings and replies alone, and is gone on with as that of
    /// [`Evolution::run`](crate::Evolution::run) is. `keep` sees each version once it is measured.
    ///
    /// # Errors
    /// As [`Evolution::run`](crate::Evolution::run).
    pub fn run(
        &self,
        seeds: &[Seed],
        progress: &mut dyn FnMut(Stage),
        keep: &mut dyn FnMut(&Version) -> Result<(), EvolveError>,
    ) -> Result<Vec<Version>, EvolveError> {
        if seeds.is_empty() {
            return Err(EvolveError::NoSeeds);
        }
        for (setting, value) in [("candidates", self.settings.candidates), ("sample", self.settings.sample)] {
            if value == 0 {
                let (setting, found) = (setting.to_owned(), "0".to_owned());
                return Err(EvolveError::Setting { setting, found, expected: "at least 1".to_owned() });
            }
        }
        let mut sample: Vec<(usize, &Seed)> = seeds.iter().enumerate().collect();
        sample.sort_by_cached_key(|(at, _)| hash(self.settings.seed, &at.to_string(), "sample"));
        sample.truncate(self.settings.sample);
        let mut books = Books::open(self.desk, progress);
        let books = &mut books;

        let method = self.method.unwrap_or(&PROMPTS.method).trim().to_owned();
        let mut best = self.measure("0", None, method, Vec::new(), &sample, 0, books)?;
        best.version.stays = true;
        keep(&best.version)?;
        let mut versions = vec![best.version.clone()];
        for step in 1..=self.settings.steps {
            if best.failed.is_empty() {
                break;
            }
            let mut lowest: Option<Measured> = None;
            let mut made = Vec::new();
            for (at, (method, calls)) in self.propose(&best, step, books)?.into_iter().enumerate() {
                let (id, parent) = (format!("{step}.{}", at + 1), Some(best.version.id.clone()));
                let measured = self.measure(&id, parent, method, calls, &sample, step, books)?;
                made.push(measured.version.clone());
                let before = lowest.as_ref().unwrap_or(&best).version.failure_rate;
                if measured.version.failure_rate < before {
                    lowest = Some(measured);
                }
            }
            if let Some(lowest) = lowest {
                best = lowest;
            }
            for version in &mut made {
                version.stays = version.id == best.version.id;
                keep(version)?;
            }
            versions.append(&mut made);
        }
        Ok(versions)
    }

    /// Methods that the optimizer proposes in place of one, each with the requests made for it.
    fn propose(
        &self,
        best: &Measured,
        step: usize,
        books: &mut Books,
    ) -> Result<Vec<(String, Vec<Call>)>, EvolveError> {
        let failures: Vec<String> = best
            .failed
            .iter()
            .take(self.settings.shown)
            .map(|[task, rewritten, wrong]| {
                format!("- Task: {task}\n  Rewritten: {rewritten}\n  What was wrong: {wrong}")
            })
            .collect();
        let seed = |name: &str| hash(self.settings.seed, &format!("{step} {name}"), "optimize").into();
        let filled = |prompt: &str, name: &str, value: &str| {
            // The method is put in first and by its place, so that braces in it are not read as slots.
            let (before, behind) = prompt.split_once("{method}").unwrap_or((prompt, ""));
            let behind = behind.replacen(&format!("{{{name}}}"), value, 1);
            format!("{before}{}{behind}", best.version.method)
        };
        let analyse = Asked {
            prompt: filled(&PROMPTS.analyse, "failures", &failures.join("\n")),
            seed: seed("analyse"),
        };
        let mut answered = books.ask(Task::Analyse, &self.optimizer, step, vec![analyse])?;
        let analysis = answered.remove(0);
        let feedback = analysis.text().map_or("", |(text, _)| text).trim().to_owned();
        let revise = |at: usize| Asked {
            prompt: filled(&PROMPTS.revise, "feedback", &feedback),
            seed: seed(&format!("candidate {at}")),
        };
        let asked = (0..self.settings.candidates).map(revise).collect();
        let answered = books.ask(Task::Revise, &self.optimizer, step, asked)?;
        let mut analysis = Some(analysis.call);
        let proposed = |answered: Answered| {
            let method = answered.text().ok().and_then(|(text, _)| method_of(text)).unwrap_or_default();
            // The analysis stands with the first of its candidates.
            (method, analysis.take().into_iter().chain([answered.call]).collect())
        };
        Ok(answered.into_iter().map(proposed).collect())
    }

    /// Evolves and answers the sample by a method, and counts what failed.
    #[expect(clippy::too_many_arguments, reason = "a version has as many parts")]
    fn measure(
        &self,
        id: &str,
        parent: Option<String>,
        method: String,
        mut calls: Vec<Call>,
        sample: &[(usize, &Seed)],
        step: usize,
        books: &mut Books,
    ) -> Result<Measured, EvolveError> {
        let mut failed = Vec::new();
        let mut failures: BTreeMap<String, usize> = BTreeMap::new();
        if !method.is_empty() {
            let set = OperatorSet::by_method(&method);
            let seed =
                |at: usize, task: Task| hash(self.settings.seed, &format!("{id} {at}"), task.verb()).into();
            let evolve = |(at, row): &(usize, &Seed)| Asked {
                prompt: set.operators[0].prompt.fill(&[(Slot::Instruction, row.instruction.trim())]),
                seed: seed(*at, Task::Evolve),
            };
            let evolved =
                books.ask(Task::Evolve, &self.evolver, step, sample.iter().map(evolve).collect())?;
            let mut living = Vec::new();
            for ((at, row), answered) in sample.iter().zip(evolved) {
                let (instruction, wrong) = match answered.text() {
                    Err(refusal) => (String::new(), Some(refusal.to_owned())),
                    Ok((text, cut_off)) => {
                        let instruction = instruction_of(text, &set.names);
                        let ended =
                            self.rules.of_instruction(&instruction, &row.instruction, &set.names, cut_off);
                        (instruction, ended.map(|ended| ended.rule.to_string()))
                    }
                };
                calls.push(answered.call);
                match wrong {
                    Some(wrong) => failed.push([row.instruction.clone(), instruction, wrong]),
                    None => living.push((*at, row.instruction.clone(), instruction)),
                }
            }
            let answer = |(at, _, instruction): &(usize, String, String)| Asked {
                prompt: instruction.clone(),
                seed: seed(*at, Task::Answer),
            };
            let answers =
                books.ask(Task::Answer, &self.answerer, step, living.iter().map(answer).collect())?;
            for ((_, task, instruction), answered) in living.into_iter().zip(answers) {
                let wrong = match answered.text() {
                    Err(refusal) => Some(refusal.to_owned()),
                    Ok((text, cut_off)) => of_response(text).map(str::to_owned).or_else(|| {
                        let ended = self.rules.of_response(text, &instruction, cut_off);
                        ended.map(|ended| ended.rule.to_string())
                    }),
                };
                calls.push(answered.call);
                failed.extend(wrong.map(|wrong| [task, instruction, wrong]));
            }
            for [.., wrong] in &failed {
                *failures.entry(wrong.clone()).or_default() += 1;
            }
        }
        let failure_rate = if method.is_empty() { 1.0 } else { failed.len() as f64 / sample.len() as f64 };
        let id = id.to_owned();
        let version = Version { id, parent, method, failure_rate, failures, stays: false, calls };
        Ok(Measured { version, failed })
    }
}

/// The method in an optimizer's reply; none that would be read as a prompt with slots.
fn method_of(reply: &str) -> Option<String> {
    let (_, method) = reply.rsplit_once("<method>")?;
    let method = method.split_once("</method>").map_or(method, |(method, _)| method).trim();
    (!method.is_empty() && !Template::from(method).has_slots()).then(|| method.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_stands_between_its_marks() {
        assert_eq!(
            method_of("Here: <method>\nAdd a limit.\n</method> Done.").as_deref(),
            Some("Add a limit.")
        );
        assert_eq!(method_of("<method>a</method> better: <method>b").as_deref(), Some("b"));
        assert_eq!(method_of("Add a limit."), None);
        assert_eq!(method_of("<method> </method>"), None);
        assert_eq!(method_of("<method>Rewrite {instruction}.</method>"), None);
        assert!(!PROMPTS.method.contains(['{', '}']));
    }
}
