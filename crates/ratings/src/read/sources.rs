//! Several files as one set of battles.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::json::Records;
use super::reviews::{FileOrder, review_battles};
use super::{Format, extension, from_records, origin, read};
use crate::battles::Battles;
use crate::error::RatingsError;

/// What one file gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Its name.
    pub file: String,
    /// What it looks like.
    pub format: Format,
    /// Battles read from it.
    pub battles: usize,
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
}

/// Reads files of any formats, in the order given; `format` forces one. Review files are settled
/// together, as by [`read_reviews`](super::read_reviews). `progress` is called before each file
/// with its number, from 0.
///
/// # Errors
/// As [`read`](super::read()), for every file: one without a single battle is an error too.
pub fn read_all(
    paths: &[PathBuf],
    format: Option<Format>,
    mut progress: impl FnMut(usize),
) -> Result<Sources, RatingsError> {
    let mut parts: Vec<Option<Battles>> = vec![None; paths.len()];
    let mut files: Vec<SourceFile> = Vec::with_capacity(paths.len());
    let (mut reviews, mut places) = (Vec::new(), Vec::new());
    for (number, path) in paths.iter().enumerate() {
        progress(number);
        let table = matches!(extension(path).as_str(), "parquet" | "csv");
        let format = if table && format.is_none_or(|format| format == Format::Battles) {
            parts[number] = Some(read(path)?);
            Format::Battles
        } else {
            let records = Records::read(path)?;
            let format = format.unwrap_or_else(|| records.format());
            if format == Format::Reviews {
                reviews.push((path.clone(), records));
                places.push(number);
            } else {
                parts[number] = Some(from_records(path, &records, format)?);
            }
            format
        };
        files.push(SourceFile { file: origin(path), format, battles: 0, rejected: 0 });
    }
    let (settled, orders) = review_battles(reviews)?;
    for (place, battles) in places.into_iter().zip(settled) {
        battles.check(&paths[place].display().to_string())?;
        parts[place] = Some(battles);
    }
    let mut battles = Battles::new();
    for (file, part) in files.iter_mut().zip(parts.iter().flatten()) {
        (file.battles, file.rejected) = (part.rows().len(), part.rejected().len());
        battles.extend(part);
    }
    battles.check("battles")?;
    Ok(Sources { battles, files, orders })
}
