//! Putting a task to a model.

use std::collections::BTreeMap;
use std::time::Instant;

use camelid_files::digest::Sum;
use camelid_model::{GenerateOptions, StopReason};

use super::definition::Task;
use super::error::TaskError;
use super::example::{Ask, Example, Examples, Item};
use super::journal::Journal;
use super::options::RunOptions;
use super::record::{Record, to_frame};
use super::report::{TaskReport, scores};
use super::rows::DataPlaces;
use super::sample::sample;
use crate::answers::Protocol;
use crate::language_model::{
    GenerateRequest, LanguageModel, LoglikelihoodRequest, ModelFailure, RollingRequest,
};
use camelid_files::write_whole;
use camelid_report::write_parquet;
use camelid_sandbox::pass_at_k::{Drawn, pass_at_k};
use camelid_sandbox::programs::python;
use camelid_sandbox::{Outcome, Sandbox};

/// A finished run.
#[derive(Clone, Debug)]
pub struct TaskRun {
    /// Scores and settings.
    pub report: TaskReport,
    /// Every example, in order.
    pub records: Vec<Record>,
}

impl Task {
    /// Asks the model and scores what it says. `progress` is told how many of how many examples
    /// are done.
    ///
    /// # Errors
    /// Whatever is wrong with the data, the settings or the model; see [`TaskError`].
    pub fn run(
        &self,
        model: &mut dyn LanguageModel,
        places: &DataPlaces,
        options: &RunOptions,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<TaskRun, TaskError> {
        let started = Instant::now();
        if options.limit == Some(0) {
            return Err(self.setting("a limit of 0 examples, expected at least 1"));
        }
        let sandbox = self.sandbox(options)?;
        let items = self.items(places)?;
        let examples = Examples::new(self, places, options.shots)?;
        let groups: Vec<String> = items.iter().map(|item| item.group.clone()).collect();
        let limit = options.limit.unwrap_or(items.len());
        let mut chosen: Vec<&Item> =
            sample(&groups, limit, options.seed).into_iter().map(|index| &items[index]).collect();
        // Prompts of one group begin alike and are computed from where they differ.
        chosen.sort_by(|a, b| a.group.cmp(&b.group));
        // A row that cannot be asked is said before the first one is.
        for item in &chosen {
            examples.example(item)?;
        }
        let mut journal = match &options.out {
            Some(dir) => {
                std::fs::create_dir_all(dir).map_err(TaskError::io(dir))?;
                let path = dir.join(format!("{}.rows.jsonl", self.definition.name));
                Some(Journal::open(&path, self.determining(&examples, &items, options))?)
            }
            None => None,
        };
        let mut records = Vec::with_capacity(chosen.len());
        progress(0, chosen.len());
        for item in &chosen {
            let known = journal.as_ref().and_then(|journal| journal.finished(&item.id)).cloned();
            let record = match known {
                Some(mut record) => {
                    if self.definition.program.is_some() {
                        self.measure_programs(&mut record, &options.programs.k)?;
                    }
                    record
                }
                None => {
                    let example = examples.example(item)?;
                    let record = self.ask(model, &examples, item, example, options, sandbox.as_ref())?;
                    if let Some(journal) = &mut journal {
                        journal.push(&record)?;
                    }
                    record
                }
            };
            records.push(record);
            progress(records.len(), chosen.len());
        }
        if self.definition.perplexity.is_some() && !records.iter().any(Record::has_tokens) {
            return Err(self.setting("its texts hold no token to score"));
        }
        let mut notes = mended(&items);
        let empty = records.iter().filter(|record| !record.has_tokens()).count();
        if self.definition.perplexity.is_some() && empty > 0 {
            notes.push(format!("{empty} of {} texts hold no token to score and do not count", records.len()));
        }
        let (scores, groups) = scores(self, &records);
        let report = TaskReport {
            task: self.definition.name.clone(),
            version: self.definition.version,
            definition_sha256: self.sha256.clone(),
            model: options.model.clone(),
            shots: examples.shots(),
            examples: records.len(),
            of: items.len(),
            seed: (records.len() < items.len()).then_some(options.seed),
            settings: self.settings(options),
            cut_prompts: records.iter().filter(|r| r.measure("cut_tokens").is_some_and(|n| n > 0.0)).count(),
            notes,
            scores,
            groups,
            seconds: started.elapsed().as_secs_f64(),
            camelid: env!("CARGO_PKG_VERSION").into(),
        };
        if let Some(dir) = &options.out {
            let path = dir.join(format!("{}.parquet", self.definition.name));
            write_parquet(&path, &mut to_frame(&records, &path)?)?;
            let path = dir.join(format!("{}.json", self.definition.name));
            let text = serde_json::to_string_pretty(&report)
                .map_err(|e| TaskError::Table { path: path.clone(), message: e.to_string() })?;
            write_whole(&path, format!("{text}\n").as_bytes())?;
        }
        Ok(TaskRun { report, records })
    }

    fn ask(
        &self,
        model: &mut dyn LanguageModel,
        examples: &Examples<'_>,
        item: &Item,
        example: Example,
        options: &RunOptions,
        sandbox: Option<&Sandbox>,
    ) -> Result<Record, TaskError> {
        let failed = |source: ModelFailure| TaskError::Model {
            task: self.definition.name.clone(),
            example: item.id.clone(),
            source,
        };
        let mut record = Record {
            id: item.id.clone(),
            group: item.group.clone(),
            prompt: example.prompt,
            ..Record::default()
        };
        match example.ask {
            Ask::Choice { continuations, characters, gold } => {
                let context = record.prompt.as_str();
                let requests: Vec<LoglikelihoodRequest<'_>> = continuations
                    .iter()
                    .map(|continuation| LoglikelihoodRequest { context, continuation })
                    .collect();
                let found = model.loglikelihood(&requests).map_err(failed)?;
                let sums: Vec<f64> = found.iter().map(|score| score.likelihood.sum).collect();
                // The choices share their context; the longest of them decides what is cut off it.
                let context_tokens = found.first().map_or(0, |score| score.context_tokens);
                let cut_tokens = found.iter().map(|score| score.cut_tokens).max().unwrap_or_default();
                let chosen = likeliest(&sums);
                record.measures = BTreeMap::from([
                    ("accuracy".to_owned(), truth(chosen == gold)),
                    ("gold_log_likelihood".to_owned(), sums[gold]),
                    ("prompt_tokens".to_owned(), context_tokens as f64),
                    ("cut_tokens".to_owned(), cut_tokens as f64),
                ]);
                if self.definition.multiple_choice.as_ref().is_some_and(|m| m.normalised) {
                    let per_character: Vec<f64> =
                        sums.iter().zip(&characters).map(|(sum, n)| sum / (*n).max(1) as f64).collect();
                    let right = truth(likeliest(&per_character) == gold);
                    record.measures.insert("accuracy_norm".into(), right);
                }
                record.gold = Some(gold.to_string());
                record.prediction = Some(chosen.to_string());
                record.tokens = found.iter().map(|score| score.likelihood.tokens as u32).collect();
                record.log_likelihoods = sums;
                record.choices = continuations;
            }
            Ask::Answer { gold } => {
                let Some(form) = self.definition.generated(Protocol::Camelid) else {
                    return Err(self.setting("has neither `number` nor `expression`"));
                };
                let generate = generate_options(form.max_new_tokens, form.stop, options.seed);
                let output = self.complete(model, &mut record, &generate).map_err(failed)?;
                let found = form.grading.read(&output);
                let right = found.as_ref().is_some_and(|f| form.grading.equal(&f.value, &gold));
                let marked = found.as_ref().is_some_and(|f| f.marked);
                record.measures.insert("accuracy".into(), truth(right));
                record.measures.insert("marked".into(), truth(marked));
                record.gold = Some(gold);
                record.prediction = found.map(|f| f.value);
            }
            Ask::Program => {
                let (Some(p), Some(sandbox)) = (&self.definition.program, sandbox) else {
                    return Err(self.setting("has no `program`"));
                };
                let drawn = &options.programs;
                let stop = p.chat_stop.as_ref().filter(|_| options.model.template.is_some());
                let stop = stop.unwrap_or(&p.stop);
                for sample in 0..drawn.samples {
                    let generate = GenerateOptions {
                        temperature: drawn.temperature,
                        ..generate_options(p.max_new_tokens, stop, options.seed + sample as u64)
                    };
                    let output = self.complete(model, &mut record, &generate).map_err(failed)?;
                    let outcome = sandbox.run(&python(examples.program(item, &output)?))?;
                    record.outcomes.push(match &outcome {
                        Outcome::Failed { stderr, .. } => format!("failed: {}", last_line(stderr)),
                        other => other.name().to_owned(),
                    });
                }
                self.measure_programs(&mut record, &drawn.k)?;
            }
            Ask::Text(text) => {
                let Some(p) = &self.definition.perplexity else {
                    return Err(self.setting("has no `perplexity`"));
                };
                let request = RollingRequest { text: &text, window: Some(p.window), stride: Some(p.stride) };
                let found = model.loglikelihood_rolling(&[request]).map_err(failed)?;
                let windows = || found.iter().flat_map(|score| &score.windows);
                record.log_likelihoods = windows().map(|w| w.sum).collect();
                record.tokens = windows().map(|w| w.tokens as u32).collect();
                record.measures.insert("bytes".into(), text.len() as f64);
                record.prompt = text;
            }
        }
        Ok(record)
    }

    /// pass@k of a record's programs for these k, whatever k it was made for.
    fn measure_programs(&self, record: &mut Record, ks: &[u64]) -> Result<(), TaskError> {
        record.measures.retain(|name, _| !name.starts_with("pass@"));
        let passed = record.outcomes.iter().filter(|outcome| *outcome == Outcome::Passed.name()).count();
        let counts = Drawn { n: record.outcomes.len() as u64, c: passed as u64 };
        for &k in ks {
            let estimate = pass_at_k(counts, k).map_err(|error| self.setting(error.to_string()))?;
            record.measures.insert(format!("pass@{k}"), estimate);
        }
        Ok(())
    }

    /// Lets the model continue the record's prompt and notes how that went.
    fn complete(
        &self,
        model: &mut dyn LanguageModel,
        record: &mut Record,
        generate: &GenerateOptions,
    ) -> Result<String, ModelFailure> {
        let request = GenerateRequest { context: &record.prompt, options: generate };
        let mut completions = model.generate_until(&[request])?;
        let completion = completions.pop().ok_or("the model gave no completion")?;
        let text = completion.text;
        record.outputs.push(text.text.clone());
        // A server need not count tokens; a model in this process always does.
        record.tokens.push(text.new_tokens.unwrap_or(0) as u32);
        let measures = [
            ("cut_tokens", completion.cut_tokens as f64),
            ("cut_off", truth(text.reason == StopReason::Length)),
        ];
        let prompt_tokens = text.prompt_tokens.map(|tokens| ("prompt_tokens", tokens as f64));
        record
            .measures
            .extend(prompt_tokens.into_iter().chain(measures).map(|(name, value)| (name.to_owned(), value)));
        Ok(text.text)
    }

    /// Everything that determines a record, for the journal's head. The choice of examples is no
    /// part of it: a larger sample goes on from a smaller one.
    fn determining(
        &self,
        examples: &Examples<'_>,
        items: &[Item],
        options: &RunOptions,
    ) -> BTreeMap<String, String> {
        let template = options.model.template.clone().unwrap_or_else(|| "none".into());
        let mut settings = [
            ("task", self.label()),
            ("shots", examples.shots().to_string()),
            ("model", options.model.sha256.clone()),
            ("load", options.model.load.clone()),
            ("device", options.model.device.clone()),
            ("template", template),
            ("data", data_digest(examples, items)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec();
        if self.definition.program.is_some() {
            let p = &options.programs;
            let sampling = match p.temperature {
                0.0 => format!("{} greedy", p.samples),
                t => format!("{} at temperature {t}, seed {}", p.samples, options.seed),
            };
            settings.push(("programs".into(), sampling));
            settings.push(("limits".into(), format!("{:?}", p.limits)));
            settings.push(("isolation".into(), format!("{:?}", p.isolation)));
        }
        settings.into_iter().collect()
    }

    /// Where programs run, when the task has any. What cannot be is said before the model is asked.
    fn sandbox(&self, options: &RunOptions) -> Result<Option<Sandbox>, TaskError> {
        if self.definition.program.is_none() {
            return Ok(None);
        }
        let p = &options.programs;
        if p.k.is_empty() {
            return Err(self.setting("no k for pass@k"));
        }
        for &k in &p.k {
            pass_at_k(Drawn { n: p.samples as u64, c: 0 }, k)
                .map_err(|_| self.setting(format!("pass@{k} of {} programs a problem", p.samples)))?;
        }
        Ok(Some(Sandbox::new(p.limits.clone(), p.isolation)?))
    }

    fn settings(&self, options: &RunOptions) -> Vec<String> {
        let definition = &self.definition;
        let longest = definition.number.as_ref().map(|n| n.max_new_tokens);
        let longest = longest.or(definition.program.as_ref().map(|p| p.max_new_tokens));
        let mut settings = Vec::new();
        if let Some(tokens) = longest {
            let p = &options.programs;
            settings.push(if definition.program.is_some() && p.temperature > 0.0 {
                format!(
                    "{} programs a problem at temperature {}, at most {tokens} new tokens",
                    p.samples, p.temperature
                )
            } else {
                format!("greedy, at most {tokens} new tokens")
            });
        }
        if let Some(p) = &definition.perplexity {
            settings.push(format!("window {} tokens, stride {}", p.window, p.stride));
        }
        settings
    }
}

/// Rows that were read although they are no proper JSON, by what was mended.
fn mended(items: &[Item]) -> Vec<String> {
    let mut found: BTreeMap<String, (usize, &str)> = BTreeMap::new();
    for item in items {
        for note in &item.row.notes {
            found.entry(note.to_string()).or_insert((0, &item.row.place)).0 += 1;
        }
    }
    found
        .into_iter()
        .map(|(what, (count, first))| format!("rows with {what}: {count}; first {first}"))
        .collect()
}

/// What tells the rows and solved examples of a run from others.
fn data_digest(examples: &Examples<'_>, items: &[Item]) -> String {
    let mut sum = Sum::default();
    for item in items {
        let fields = serde_json::Value::Object(item.row.fields.clone());
        sum.add(&item.id).add([0xff]).add(fields.to_string()).add([0xff]);
    }
    for text in examples.solved_texts() {
        sum.add(text).add([0xff]);
    }
    let mut digits = sum.finish();
    digits.truncate(12);
    digits
}

/// The index of the largest value, the first among equals.
fn likeliest(values: &[f64]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}

/// What a failed program said last: the error itself, in Python.
fn last_line(stderr: &str) -> &str {
    stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("said nothing")
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn generate_options(max_new_tokens: usize, stop: &[String], seed: u64) -> GenerateOptions {
    GenerateOptions { max_new_tokens, stop: stop.to_vec(), seed, ..GenerateOptions::default() }
}
