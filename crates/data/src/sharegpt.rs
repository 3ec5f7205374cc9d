//! ShareGPT's `conversations` of `from` / `value` turns, taken as they are.

use std::path::Path;

use crate::dialogue::Rules;
use crate::load::not_empty;
use crate::rows::Rows;
use crate::turns::{self, Names};
use crate::{DataError, Loaded};

const NAMES: Names = Names {
    list: &["conversations", "conversation", "messages", "dialogue", "dialog", "turns", "items"],
    speaker: &["from", "role", "speaker"],
    content: &["value", "content", "text"],
};

/// Reads ShareGPT data. Ids are the rows' own, else `<file stem>:<item or line,
/// from 1>`; where one comes a second time, `#` and the item's number are put
/// behind it.
///
/// Nothing is cleaned. A conversation is dropped, counted and named, when it has
/// no turns, an unknown speaker, a turn without text, no assistant turn, or turns
/// that do not alternate; a first turn of the assistant is left out, and a blank
/// turn ends it (the rule of all loaders, in the crate's README).
///
/// # Errors
/// A file that cannot be read or is cut off inside of an array; no usable row.
pub fn load(path: &Path) -> Result<Loaded, DataError> {
    not_empty(read(Rows::open(path)?, Rules::default())?, path)
}

pub(crate) fn read(rows: Rows, rules: Rules) -> Result<Loaded, DataError> {
    turns::read(rows, &NAMES, rules)
}
