//! Several files as one set of battles.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::reviews::{FileOrder, review_battles};
use super::{Format, Needs, Opened, origin};
use crate::battles::Battles;
use crate::error::{RatingsError, RejectedRow};
use crate::unseen::seen;

/// What one file gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Its name.
    pub file: String,
    /// What it looks like.
    pub format: Format,
    /// Battles read from it.
    pub battles: u64,
    /// Rows of it that were no battles.
    pub rejected: usize,
}

/// Battles of several files.
#[derive(Debug, Clone)]
pub struct Sources {
    /// All battles, file by file.
    pub battles: Battles,
    /// The files.
    pub files: Vec<SourceFile>,
    /// Whose answer stood first in each review file.
    pub orders: Vec<FileOrder>,
    /// What looks like a mistake and is none for sure: files given twice, repeated rows, values that
    /// were not understood ([`Battles::notices`]).
    pub notices: Vec<String>,
    /// For each file its rows, those that are no battles (votes that were not blind left out), and the
    /// first of these.
    dropped: Vec<(usize, usize, Option<RejectedRow>)>,
}

/// The share of a file's rows that may be no battles.
pub const MOST_DROPPED: f64 = 0.2;

impl Sources {
    /// That no file lost more than [`MOST_DROPPED`] of its rows.
    ///
    /// # Errors
    /// [`RatingsError::Dropped`] with the first row that was dropped.
    pub fn check_dropped(&self) -> Result<(), RatingsError> {
        for (file, (rows, dropped, first)) in self.files.iter().zip(&self.dropped) {
            if let Some(first) = first
                && *dropped as f64 > MOST_DROPPED * *rows as f64
            {
                return Err(RatingsError::Dropped {
                    origin: file.file.clone(),
                    dropped: *dropped,
                    rows: *rows,
                    first: Box::new(first.clone()),
                });
            }
        }
        Ok(())
    }
}

/// What to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// The format of every file; told from its content where it is not given.
    pub format: Option<Format>,
    /// The fields that every row has to make sense in.
    pub needs: Needs,
}

/// Reads files of any formats, in the order given. Review files are settled together, as by
/// [`read_reviews`](super::read_reviews). `progress` is called before each file with its number,
/// from 0.
///
/// # Errors
/// As [`read`](super::read()), for every file: one without a single battle is an error too.
pub fn read_all(
    paths: &[PathBuf],
    options: &ReadOptions,
    mut progress: impl FnMut(usize),
) -> Result<Sources, RatingsError> {
    let mut parts: Vec<Option<Battles>> = vec![None; paths.len()];
    let mut files: Vec<SourceFile> = Vec::with_capacity(paths.len());
    let (mut reviews, mut places) = (Vec::new(), Vec::new());
    for (number, path) in paths.iter().enumerate() {
        progress(number);
        let opened = Opened::new(path, options.needs)?;
        let format = options.format.unwrap_or_else(|| opened.format());
        match opened {
            Opened::Rows(rows) if format == Format::Reviews => {
                reviews.push((path.clone(), *rows));
                places.push(number);
            }
            opened => parts[number] = Some(opened.battles(format, options.needs)?),
        }
        files.push(SourceFile { file: origin(path), format, battles: 0, rejected: 0 });
    }
    let (settled, orders) = review_battles(reviews)?;
    for (place, battles) in places.into_iter().zip(settled) {
        battles.check(&origin(&paths[place]))?;
        parts[place] = Some(battles);
    }
    let parts: Vec<Battles> = parts.into_iter().flatten().collect();
    let mut notices = given_twice(paths, &parts);
    let mut battles = Battles::new();
    let mut dropped = Vec::with_capacity(files.len());
    for (file, part) in files.iter_mut().zip(&parts) {
        (file.battles, file.rejected) = (part.votes(), part.rejected().len());
        let damaged = || part.rejected().iter().filter(|row| !row.is_not_blind());
        let count = damaged().count();
        dropped.push((part.rows().len() + count, count, damaged().next().cloned()));
        battles.extend(part);
    }
    battles.check("battles")?;
    let repeated = battles.repeated();
    if repeated > 0 && notices.is_empty() {
        notices.push(format!(
            "{repeated} rows repeat an earlier row with its question or time, pair, judge and verdict; every one counts, \
             and narrows the intervals"
        ));
    }
    notices.extend(battles.notices());
    notices.extend(alike(battles.models()));
    Ok(Sources { battles, files, orders, notices, dropped })
}

/// Names that differ by characters which are not seen.
fn alike(models: &[String]) -> impl Iterator<Item = String> {
    models.iter().enumerate().filter_map(|(number, model)| {
        let other = models[..number].iter().find(|other| seen(other) == seen(model))?;
        Some(format!(
            "the models {} and {} differ by characters that are not seen; they are rated as two",
            other.escape_default(),
            model.escape_default()
        ))
    })
}

/// Files that are given twice, or hold the very same battles.
fn given_twice(paths: &[PathBuf], parts: &[Battles]) -> Vec<String> {
    let place = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let named = |battles: &Battles| {
        battles.rows().iter().map(|row| format!("{:?}", battles.named(row))).collect::<Vec<_>>()
    };
    let mut notices = Vec::new();
    for (second, path) in paths.iter().enumerate() {
        for (first, earlier) in paths[..second].iter().enumerate() {
            let same = parts[first].rows().len() == parts[second].rows().len()
                && parts[first].models() == parts[second].models();
            if place(path) == place(earlier) {
                notices.push(format!("{} is given twice: every battle of it counts twice", path.display()));
                break;
            }
            if same && named(&parts[first]) == named(&parts[second]) {
                notices.push(format!(
                    "{} holds the same battles as {}: every one counts twice",
                    path.display(),
                    earlier.display()
                ));
                break;
            }
        }
    }
    notices
}
