//! OpenAI's chat format: `messages` of `role` and `content`.

use std::path::Path;

use crate::dialogue::Rules;
use crate::load::not_empty;
use crate::rows::Rows;
use crate::turns::{self, Names};
use crate::{DataError, Loaded};

const NAMES: Names = Names {
    list: &["messages", "conversations", "conversation", "dialogue", "dialog", "turns", "chat"],
    speaker: &["role", "from", "speaker"],
    content: &["content", "value", "text"],
};

/// Reads chat messages. `content` is a text or a list of parts of type `text`,
/// which are put together as they stand; `developer` is a system message. A row
/// with other parts, tool messages or calls is dropped, counted and named. Ids
/// and all else as [`sharegpt::load`](crate::sharegpt::load).
///
/// # Errors
/// As [`sharegpt::load`](crate::sharegpt::load).
pub fn load(path: &Path) -> Result<Loaded, DataError> {
    not_empty(read(Rows::open(path)?, Rules::default())?, path)
}

pub(crate) fn read(rows: Rows, rules: Rules) -> Result<Loaded, DataError> {
    turns::read(rows, &NAMES, rules)
}
