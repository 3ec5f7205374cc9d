//! Records of a JSON array or of JSON lines.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Format, origin};
use crate::battles::Battles;
use crate::error::{RatingsError, RejectedRow};

/// The records of a file, those that are no JSON object among them.
pub(super) struct Records {
    /// The file, as messages name it.
    pub(super) origin: String,
    pub(super) records: Vec<Result<Map<String, Value>, RejectedRow>>,
}

impl Records {
    /// Reads a file that holds one JSON array of objects, or one object a line. A line that is
    /// no object is a rejected record; an array that is cut short is an error.
    pub(super) fn read(path: &Path) -> Result<Self, RatingsError> {
        let bytes =
            std::fs::read(path).map_err(|source| RatingsError::Read { path: path.to_owned(), source })?;
        let damaged =
            |message: String| RatingsError::Damaged { path: path.to_owned(), expected: "JSON", message };
        let text = std::str::from_utf8(&bytes).map_err(|error| damaged(error.to_string()))?;
        let text = text.trim_start_matches('\u{feff}');
        let records = if text.trim_start().starts_with('[') {
            let values: Vec<Value> =
                serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
            values.into_iter().map(object).collect()
        } else {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            lines
                .map(|line| match serde_json::from_str::<Value>(line) {
                    Ok(value) => object(value),
                    Err(error) => Err(RejectedRow::new("line", error, "a JSON object")),
                })
                .collect()
        };
        Ok(Self { origin: origin(path), records })
    }

    /// The format that the first sound record tells.
    pub(super) fn format(&self) -> Format {
        let Some(first) = self.records.iter().find_map(|record| record.as_ref().ok()) else {
            return Format::Battles;
        };
        let has = |name: &str| first.contains_key(name);
        if has("g1_winner") {
            Format::MtBench
        } else if has("answer1_id") && has("score") {
            Format::Reviews
        } else if has("preference") && has("generator_1") {
            Format::AlpacaEval
        } else {
            Format::Battles
        }
    }

    /// Pushes every record, noting those that are rejected.
    pub(super) fn battles(
        &self,
        push: impl Fn(&Map<String, Value>, usize, &mut Battles) -> Result<(), RejectedRow>,
    ) -> Battles {
        let mut battles = Battles::new();
        for (index, record) in self.records.iter().enumerate() {
            let pushed = match record {
                Ok(object) => push(object, index, &mut battles),
                Err(rejected) => Err(rejected.clone()),
            };
            if let Err(rejected) = pushed {
                battles.reject(rejected.at(&self.origin, index + 1));
            }
        }
        battles
    }
}

fn object(value: Value) -> Result<Map<String, Value>, RejectedRow> {
    match value {
        Value::Object(object) => Ok(object),
        other => Err(RejectedRow::new("record", other, "a JSON object")),
    }
}
