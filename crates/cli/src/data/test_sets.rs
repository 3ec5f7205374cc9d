//! The questions of test sets, by name or file, with which no training data may share text.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use camelid_data::catalogue::{self, FetchOptions};
use camelid_evolve::{Decontaminator, SHORTEST, TestItem};
use camelid_files::{Records, stem};
use serde_json::Value;

/// Short names of test sets in the catalogue.
const NAMES: [(&str, &str); 6] = [
    ("humaneval", "human-eval"),
    ("mbpp", "mbpp"),
    ("gsm8k", "gsm8k-test"),
    ("mt-bench", "mt-bench-questions"),
    ("vicuna", "vicuna-questions"),
    ("wizardlm", "wizardlm-testset"),
];
/// Fields that hold an item's question, the first that is there.
const QUESTION: [&str; 8] =
    ["question", "prompt", "problem", "turns", "text", "instruction", "Instruction", "query"];
/// Fields that hold an item's name.
const ID: [&str; 5] = ["task_id", "question_id", "id", "idx", "unique_id"];

/// Says how many items are too short to be looked for.
pub fn tell_short(decontaminator: &Decontaminator) {
    let short = decontaminator.too_short().count();
    if short > 0 {
        camelid_files::say!("{short} test items have fewer than {SHORTEST} words and are not looked for");
    }
}

/// The items of a test set of the catalogue or in a file.
pub fn items(name: &str, fetch: &FetchOptions) -> Result<Vec<TestItem>> {
    let listed = NAMES.iter().find(|(short, _)| *short == name).map(|(_, listed)| *listed);
    let (set, path) = match listed {
        Some(listed) => (name.to_owned(), catalogue::fetch(listed, fetch)?),
        None if Path::new(name).exists() => (stem(Path::new(name)), PathBuf::from(name)),
        None => {
            let path = catalogue::fetch(name, fetch).context("no file, and no test set of the catalogue")?;
            (name.to_owned(), path)
        }
    };
    read(&set, &path)
}

/// The items of a file of JSON rows with a question each.
pub fn read(set: &str, path: &Path) -> Result<Vec<TestItem>> {
    let mut items = Vec::new();
    let mut without = 0;
    Records::open(path)?.for_each(|row| {
        let Ok(row) = row else {
            without += 1;
            return;
        };
        let text = QUESTION.iter().find_map(|field| question(row.fields.get(*field)?));
        let Some(text) = text else {
            without += 1;
            return;
        };
        let id = ID.iter().find_map(|field| row.fields.get(*field)).map(|id| match id {
            Value::String(id) => id.clone(),
            other => other.to_string(),
        });
        items.push(TestItem { set: set.to_owned(), id: id.unwrap_or_else(|| row.place.to_string()), text });
    })?;
    if items.is_empty() {
        bail!(
            "{}: no row has a question; expected one of the fields {}",
            path.display(),
            QUESTION.join(", ")
        );
    }
    if without > 0 {
        camelid_files::say!("{}: {without} rows have no question and are not looked for", path.display());
    }
    Ok(items)
}

/// A question: a text, or the turns of one.
fn question(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(turns) => {
            let turns: Option<Vec<&str>> = turns.iter().map(Value::as_str).collect();
            Some(turns?.join("\n"))
        }
        _ => None,
    }
}
