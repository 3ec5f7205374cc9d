//! What became of every conversation, a row each.

use std::io::Write;
use std::path::Path;

use camelid_files::FileError;
use serde::Serialize;

use super::rule::Cut;

/// What became of one conversation of the input.
#[derive(Debug, Serialize)]
pub(super) struct Fate<'a> {
    /// Its number in the file, from 1: the item of an array, the line of JSON lines.
    pub row: u64,
    /// Its id, where it has one.
    pub id: Option<&'a str>,
    /// Whether it is in the output.
    pub kept: bool,
    /// The rule that dropped it.
    pub rule: Option<&'a str>,
    /// The turn that broke the rule, from 1.
    pub turn: Option<usize>,
    /// Begin and end of the place in that turn, in characters.
    pub span: Option<[usize; 2]>,
    /// The particulars.
    pub detail: Option<&'a str>,
    /// The id of the conversation that it repeats.
    pub duplicate_of: Option<&'a str>,
    /// Questions with their answer, before and after.
    pub rounds_in: usize,
    pub rounds_out: usize,
    /// What was left out of a conversation that is kept.
    pub left_out: &'a [Cut],
}

impl Fate<'_> {
    /// Writes it as a line of JSON; `path` is the file's name in messages.
    pub(super) fn write(&self, file: &mut impl Write, path: &Path) -> Result<(), FileError> {
        let write = |file: &mut dyn Write| {
            serde_json::to_writer(&mut *file, self)?;
            file.write_all(b"\n")
        };
        write(file).map_err(FileError::io(path, "write"))
    }
}
