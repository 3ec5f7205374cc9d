//! Counts of what a loader read, kept, changed and dropped.

use std::collections::BTreeMap;
use std::fmt;

use camelid_files::Place;
use serde::{Deserialize, Serialize};

/// How many of the items' names a report keeps per reason.
const EXAMPLES: usize = 8;

/// How many of them its one-line form shows.
const SHOWN: usize = 3;

/// Items that share a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many.
    pub count: usize,
    /// The first eight.
    pub examples: Vec<Named>,
}

impl Tally {
    /// Counts one more.
    pub(crate) fn add(&mut self, item: Named) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(item);
        }
    }
}

/// One item by name. It equals a text that is its id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its id.
    pub id: String,
    /// Where it stands, e.g. `item 2`, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What exactly is the matter, where the reason does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl PartialEq<&str> for Named {
    fn eq(&self, id: &&str) -> bool {
        self.id == *id
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            // An id that was made of the file's name and the number says the same again.
            Some(place)
                if self.id.rsplit_once(':').is_some_and(|(_, n)| place.ends_with(&format!(" {n}"))) =>
            {
                f.write_str(place)?;
            }
            Some(place) => write!(f, "{place} (id {})", self.id)?,
            None => f.write_str(&self.id)?,
        }
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

/// What a loader did: `read = kept + dropped`, always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadReport {
    /// What is counted, in the plural: `"messages"`, `"rows"`, …
    pub unit: String,
    /// Items read.
    pub read: usize,
    /// Items kept.
    pub kept: usize,
    /// Items dropped, by reason.
    pub dropped: BTreeMap<String, Tally>,
    /// What was done to items that were kept all the same, or read out of the ordinary.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub changed: BTreeMap<String, Tally>,
    /// What was decided for the whole file: other names of fields, what a step before this one left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl LoadReport {
    /// An empty report that counts `unit`.
    pub fn new(unit: &str) -> Self {
        Self { unit: unit.to_string(), ..Self::default() }
    }

    /// Counts one item as read and kept.
    pub fn keep(&mut self) {
        self.read += 1;
        self.kept += 1;
    }

    /// Counts the item `name` as read and dropped for `reason`.
    pub fn drop_item(&mut self, reason: &str, name: &str) {
        self.drop_named(reason, Named { id: name.to_string(), ..Named::default() });
    }

    /// Counts one item as read and dropped for `reason`.
    pub fn drop_named(&mut self, reason: &str, item: Named) {
        self.read += 1;
        count(&mut self.dropped, reason, item);
    }

    /// Counts one thing that was done to an item, kept or not.
    pub fn change(&mut self, what: &str, item: Named) {
        count(&mut self.changed, what, item);
    }

    /// Adds a sentence on the whole file, once.
    pub fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Number of items dropped for `reason`.
    pub fn dropped_for(&self, reason: &str) -> usize {
        self.dropped.get(reason).map_or(0, |d| d.count)
    }

    /// Number of items that were changed in this way.
    pub fn changed_by(&self, what: &str) -> usize {
        self.changed.get(what).map_or(0, |c| c.count)
    }

    /// Number of items dropped for any reason.
    pub fn dropped_in_all(&self) -> usize {
        self.dropped.values().map(|d| d.count).sum()
    }

    /// The report of two steps in a row, where `next` read what `self` kept.
    pub fn then(mut self, next: LoadReport) -> LoadReport {
        self.kept = next.kept;
        self.join(next, None);
        self
    }

    /// Adds the report of another file; `file` is put before the places of its items.
    pub fn add_file(&mut self, next: LoadReport, file: &str) {
        self.read += next.read;
        self.kept += next.kept;
        self.join(next, Some(file));
    }

    fn join(&mut self, next: LoadReport, file: Option<&str>) {
        for (into, from) in [(&mut self.dropped, next.dropped), (&mut self.changed, next.changed)] {
            for (reason, tally) in from {
                let entry = into.entry(reason).or_default();
                entry.count += tally.count;
                let room = EXAMPLES - entry.examples.len();
                entry.examples.extend(tally.examples.into_iter().take(room).map(|mut item| {
                    if let (Some(file), Some(place)) = (file, &mut item.place) {
                        *place = format!("{file}, {place}");
                    }
                    item
                }));
            }
        }
        for note in next.notes {
            self.note(match file {
                Some(file) => format!("{file}: {note}"),
                None => note,
            });
        }
    }
}

fn count(tallies: &mut BTreeMap<String, Tally>, reason: &str, item: Named) {
    tallies.entry(reason.to_string()).or_default().add(item);
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} read, {} kept", self.read, self.unit, self.kept)?;
        for (reason, tally) in &self.dropped {
            write!(f, "; {} dropped ({reason}): {tally}", tally.count)?;
        }
        for (what, tally) in &self.changed {
            write!(f, "; {} with {what}: {tally}", tally.count)?;
        }
        for note in &self.notes {
            write!(f, "; {note}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.examples.iter().take(SHOWN).enumerate() {
            write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
        }
        match self.count - self.examples.len().min(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// An item of a file, for a [`LoadReport`].
pub(crate) fn named(id: &str, place: Place, detail: Option<String>) -> Named {
    Named { id: id.to_string(), place: Some(place.to_string()), detail }
}

/// Conversations with the account of how they came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The conversations, in file order, ids unique and stable.
    pub conversations: Vec<camelid_chat::Conversation>,
    /// What was read, kept, changed and dropped.
    pub report: LoadReport,
}
