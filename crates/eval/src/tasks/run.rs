//! Putting a task to a model.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use camelid_files::digest::Sum;

use super::definition::Task;
use super::error::TaskError;
use super::example::{Examples, Item};
use super::journal::Journal;
use super::options::RunOptions;
use super::record::{Record, to_frame};
use super::report::{TaskReport, scores};
use super::rows::DataPlaces;
use super::sample::sample;
use crate::language_model::LanguageModel;
use camelid_files::write_whole;
use camelid_report::write_parquet;
use camelid_sandbox::pass_at_k::{Drawn, pass_at_k};
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
        let mut records: BTreeMap<usize, Record> = BTreeMap::new();
        for (place, item) in chosen.iter().enumerate() {
            let known = journal.as_ref().and_then(|journal| journal.finished(&item.id)).cloned();
            let Some(mut record) = known else { continue };
            if self.definition.program.is_some() {
                self.measure_programs(&mut record, &options.programs.k)?;
            }
            records.insert(place, record);
        }
        progress(records.len(), chosen.len());
        let open: Vec<usize> = (0..chosen.len()).filter(|place| !records.contains_key(place)).collect();
        let mut batches: VecDeque<&[usize]> = open.chunks(model.batch().max(1)).collect();
        while let Some(batch) = batches.pop_front() {
            let items: Vec<&Item> = batch.iter().map(|place| chosen[*place]).collect();
            let asked = match self.ask(model, &examples, &items, options, sandbox.as_ref()) {
                // One by one: those before the one at fault are kept, and that one is named.
                Err(TaskError::Model { .. }) if batch.len() > 1 => {
                    batch.chunks(1).rev().for_each(|one| batches.push_front(one));
                    continue;
                }
                asked => asked?,
            };
            for (place, record) in batch.iter().zip(asked) {
                if let Some(journal) = &mut journal {
                    journal.push(&record)?;
                }
                records.insert(*place, record);
                progress(records.len(), chosen.len());
            }
        }
        let records: Vec<Record> = records.into_values().collect();
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

    /// pass@k of a record's programs for these k, whatever k it was made for.
    pub(super) fn measure_programs(&self, record: &mut Record, ks: &[u64]) -> Result<(), TaskError> {
        record.measures.retain(|name, _| !name.starts_with("pass@"));
        let passed = record.outcomes.iter().filter(|outcome| *outcome == Outcome::Passed.name()).count();
        let counts = Drawn { n: record.outcomes.len() as u64, c: passed as u64 };
        for &k in ks {
            let estimate = pass_at_k(counts, k).map_err(|error| self.setting(error.to_string()))?;
            record.measures.insert(format!("pass@{k}"), estimate);
        }
        Ok(())
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
