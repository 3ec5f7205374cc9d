//! A file from its first row to its last: read, cleaned on all cores, judged in order, written.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use camelid_files::{Place, RawRecord};
use camelid_text::duplicates::Kept;
use rayon::prelude::*;

use super::error::CleanError;
use super::lineage::{Fate, Lineage};
use super::options::{CleanOptions, Shard};
use super::process::{Candidate, Processed, process};
use super::rule::{Finding, Rule};
use super::summary::{Example, Summary};
use crate::format::DataFormat;
use crate::output::{Form, Output};
use crate::read::none_is;
use crate::report::named;
use crate::rows::Rows;
use crate::{DataError, LoadReport};

/// Bytes and rows that are cleaned at a time; three such batches are in memory.
const BATCH_BYTES: usize = 4 << 20;
const BATCH_ROWS: usize = 4096;

/// Cleans a file of ShareGPT conversations (a JSON array, JSON lines or Parquet, packed or not; `-`
/// is standard input) into another: a JSON array for `.json`, lines for `.jsonl`, packed as `.gz` or
/// `.zst` say; `-` prints lines.
///
/// The result does not depend on the number of threads. `stop` is looked at between batches.
///
/// # Errors
/// [`CleanError`]; no file appears then.
pub fn clean(
    input: &Path,
    output: &Path,
    options: &CleanOptions,
    stop: &AtomicBool,
) -> Result<Summary, CleanError> {
    let form = Form::named(output)?;
    let mut reader = Reader { rows: Rows::open(input)?, number: 0, salvage: options.salvage, cut_off: None };
    let mut writer = Emitter::create(input, output, options)?;
    let mut batch = reader.batch()?;
    let mut done: Vec<(u64, Processed)> = Vec::new();
    while !(batch.is_empty() && done.is_empty()) {
        if stop.load(Ordering::SeqCst) {
            return Err(CleanError::Interrupted);
        }
        let work = || {
            let one = |(number, raw)| (number, process(raw, form, options.shard.has(number), options));
            batch.into_par_iter().map(one).collect::<Vec<_>>()
        };
        let (cleaned, (written, next)) =
            rayon::join(work, || rayon::join(|| writer.take_all(done), || reader.batch()));
        written?;
        (batch, done) = (next?, cleaned);
    }
    writer.finish(reader.cut_off)
}

/// Rows with their numbers, a batch at a time.
struct Reader {
    rows: Rows,
    number: u64,
    salvage: bool,
    cut_off: Option<String>,
}

impl Reader {
    fn batch(&mut self) -> Result<Vec<(u64, RawRecord)>, DataError> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES && batch.len() < BATCH_ROWS && self.cut_off.is_none() {
            match self.rows.next_raw() {
                Ok(None) => break,
                Ok(Some(row)) => {
                    self.number += 1;
                    bytes += row.bytes();
                    batch.push((self.number, row));
                }
                Err(error) if self.salvage && self.number > 0 => self.cut_off = Some(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(batch)
    }
}

/// Decides what only the rows before can decide, and writes.
struct Emitter {
    input: PathBuf,
    output: Output,
    lineage: Option<Lineage>,
    kept: Kept,
    summary: Summary,
    shard: Shard,
    strict: bool,
    /// Whether some row could be read, and what those look like that could not.
    readable: bool,
    unreadable: LoadReport,
    looks_like: Option<DataFormat>,
    near_duplicates: f64,
}

impl Emitter {
    fn create(input: &Path, output: &Path, options: &CleanOptions) -> Result<Self, CleanError> {
        let lineage = options.lineage.as_deref().map(Lineage::create).transpose()?;
        Ok(Self {
            input: input.to_owned(),
            output: Output::create(output)?,
            lineage,
            kept: Kept::new()?,
            summary: Summary::new(options.mode),
            shard: options.shard,
            strict: options.strict,
            readable: false,
            unreadable: LoadReport::new("rows"),
            looks_like: None,
            near_duplicates: options.near_duplicates,
        })
    }

    fn take_all(&mut self, rows: Vec<(u64, Processed)>) -> Result<(), CleanError> {
        rows.into_iter().try_for_each(|(number, row)| self.take(number, row))
    }

    fn take(&mut self, number: u64, row: Processed) -> Result<(), CleanError> {
        let Processed { place, id, outcome, cuts, rounds_in, rounds_out, before, excerpt, looks_like } = row;
        let mut duplicate_of = None;
        let outcome = match outcome {
            Ok(candidate) => self.against_others(candidate, id.as_deref(), place, &mut duplicate_of)?,
            Err(finding) => Err(finding),
        };
        let name = || id.clone().unwrap_or_else(|| place.to_string());
        if let (true, Err(Finding { rule: Rule::Unreadable, detail, .. })) = (self.strict, &outcome) {
            let id = id.as_ref().map(|id| format!("id {id}: ")).unwrap_or_default();
            let message = format!("{id}{}", detail.as_deref().unwrap_or("unreadable"));
            return Err(CleanError::BadRow { path: self.input.clone(), place, message });
        }
        match &outcome {
            Err(finding) if finding.rule == Rule::Unreadable => {
                self.looks_like = self.looks_like.or(looks_like);
                if !self.readable {
                    let item = named(&name(), place, finding.detail.clone());
                    self.unreadable.drop_named(Rule::Unreadable.as_str(), item);
                }
            }
            _ => self.readable = true,
        }
        if !self.shard.has(number) {
            return Ok(());
        }
        if let Some(before) = before {
            self.summary.before.add(before);
        }
        let finding = outcome.as_ref().err();
        let fate = Fate {
            row: place.number(),
            id: id.as_deref(),
            kept: finding.is_none(),
            rule: finding.map(|finding| finding.rule.as_str()),
            turn: finding.and_then(|finding| finding.turn),
            span: finding.and_then(|finding| finding.span),
            detail: finding.and_then(|finding| finding.detail.as_deref()),
            duplicate_of: duplicate_of.as_deref(),
            rounds_in,
            rounds_out: if finding.is_none() { rounds_out } else { 0 },
            masked: outcome.as_ref().ok().map(|candidate| &candidate.masked),
            left_out: if finding.is_none() { &cuts } else { &[] },
        };
        if let Some(lineage) = &mut self.lineage {
            lineage.write(&fate)?;
        }
        match outcome {
            Ok(Candidate { row, after, masked, .. }) => {
                self.summary.mask(&masked);
                self.output.write(row)?;
                self.summary.keep([rounds_in, rounds_out], &cuts, after);
            }
            Err(finding) => self.summary.drop(finding.rule, rounds_in, || {
                let detail = match &duplicate_of {
                    Some(other) => Some(format!("of {other}")),
                    None => finding.detail.clone(),
                };
                Example { name: name(), detail, excerpt }
            }),
        }
        Ok(())
    }

    /// FastChat's order: id, plugins, text; then what `optional_clean.py` drops, which is remembered
    /// as kept all the same.
    fn against_others(
        &mut self,
        candidate: Candidate,
        id: Option<&str>,
        place: Place,
        duplicate_of: &mut Option<String>,
    ) -> Result<Result<Candidate, Finding>, CleanError> {
        if let Some(own) = candidate.id
            && self.kept.has_id(own)?
        {
            *duplicate_of = id.map(str::to_owned);
            return Ok(Err(Finding::whole(Rule::IdDuplicate)));
        }
        if candidate.plugin {
            return Ok(Err(Finding::whole(Rule::Plugin)));
        }
        if let Some(first) = self.kept.with_text(candidate.text)? {
            *duplicate_of = Some(first);
            return Ok(Err(Finding::whole(Rule::ValueDuplicate)));
        }
        if let Some(sketch) = &candidate.sketch
            && let Some((first, similarity)) = self.kept.near(sketch, self.near_duplicates, |_| true)?
        {
            *duplicate_of = Some(first);
            let finding = Finding::whole(Rule::NearDuplicate).with(format!("similarity {similarity:.2}"));
            return Ok(Err(finding));
        }
        let name = id.map_or_else(|| place.to_string(), str::to_owned);
        self.kept.add(candidate.id, candidate.text, candidate.sketch.as_ref(), &name)?;
        Ok(match candidate.unwanted {
            Some(finding) => Err(finding),
            None => Ok(candidate),
        })
    }

    fn finish(mut self, cut_off: Option<String>) -> Result<Summary, CleanError> {
        if !self.readable && self.unreadable.read > 0 {
            let error = none_is(DataFormat::Sharegpt, self.looks_like, &self.input, self.unreadable);
            return Err(error.into());
        }
        self.output.finish()?;
        if let Some(lineage) = self.lineage {
            lineage.finish()?;
        }
        self.summary.cut_off = cut_off;
        Ok(self.summary)
    }
}
