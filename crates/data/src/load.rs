//! From rows to conversations: ids, counts, and what becomes of rows that cannot be used.

use std::collections::HashSet;

use camelid_chat::Conversation;
use camelid_files::Record;

use crate::dialogue::Change;
use crate::fields::Problem;
use crate::report::named;
use crate::rows::{Rows, in_words};
use crate::{DataError, LoadReport, Loaded};

/// A conversation, and what was done to it.
pub(crate) type Converted = Result<(Conversation, Vec<Change>), Problem>;

/// Reads all rows. `own_id` is a row's own id where it has one; `convert` makes a conversation of it.
///
/// # Errors
/// The file cannot be read to its end. No conversation at all is not an error here.
pub(crate) fn load(
    mut rows: Rows,
    unit: &str,
    own_id: impl Fn(&Record) -> Option<String>,
    mut convert: impl FnMut(&str, Record, &mut LoadReport) -> Converted,
) -> Result<Loaded, DataError> {
    let mut report = LoadReport::new(unit);
    let mut conversations = Vec::new();
    let mut ids = Ids::default();
    while let Some(record) = rows.next_row(&mut report)? {
        let place = record.place;
        let id = ids.allot(own_id(&record).unwrap_or_else(|| rows.numbered(place)), place.number());
        let notes = record.notes.clone();
        match convert(&id, record, &mut report) {
            Ok((conversation, changes)) => {
                report.keep();
                for note in notes {
                    report.change(in_words(note), named(&id, place, None));
                }
                for (what, detail) in changes {
                    report.change(&what, named(&id, place, detail));
                }
                conversations.push(conversation);
            }
            Err(problem) => report.drop_named(&problem.reason, named(&id, place, problem.detail)),
        }
    }
    Ok(Loaded { conversations, report })
}

/// Ids that were given, so that each is given once.
#[derive(Default)]
pub(crate) struct Ids(HashSet<String>);

impl Ids {
    /// The id itself; where it comes again, with `#` and the row's number behind it.
    pub(crate) fn allot(&mut self, id: String, number: u64) -> String {
        let mut unique = id;
        while !self.0.insert(unique.clone()) {
            unique = format!("{unique}#{number}");
        }
        unique
    }
}

/// What was loaded, or [`DataError::Empty`] when there is no conversation.
pub(crate) fn not_empty(loaded: Loaded, what: &std::path::Path) -> Result<Loaded, DataError> {
    if loaded.conversations.is_empty() {
        return Err(DataError::Empty { what: what.display().to_string(), report: Box::new(loaded.report) });
    }
    Ok(loaded)
}
