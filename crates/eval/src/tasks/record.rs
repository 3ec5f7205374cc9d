//! What is known about one example after it was asked.

use std::collections::BTreeMap;
use std::path::Path;

use polars::prelude::{Column, DataFrame, IntoColumn, NamedFrom, Series};
use serde::{Deserialize, Serialize};

use super::error::TaskError;

/// One example: what was asked, what the model made of it, how it counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its id in the task.
    pub id: String,
    /// Its group, or nothing.
    #[serde(default)]
    pub group: String,
    /// What the model was shown.
    pub prompt: String,
    /// The right answer: a choice's index, a number; nothing for programs and texts.
    #[serde(default)]
    pub gold: Option<String>,
    /// The model's, in the same form.
    #[serde(default)]
    pub prediction: Option<String>,
    /// What the model wrote, for generated answers.
    #[serde(default)]
    pub outputs: Vec<String>,
    /// The continuations it chose from.
    #[serde(default)]
    pub choices: Vec<String>,
    /// Their log-likelihoods; for a text, those of its windows.
    #[serde(default)]
    pub log_likelihoods: Vec<f64>,
    /// Tokens behind each log-likelihood.
    #[serde(default)]
    pub tokens: Vec<u32>,
    /// What became of each program that was run.
    #[serde(default)]
    pub outcomes: Vec<String>,
    /// Figures that scores are made of, e.g. `accuracy` (0 or 1).
    pub measures: BTreeMap<String, f64>,
}

impl Record {
    /// A figure, where the example has it.
    pub fn measure(&self, name: &str) -> Option<f64> {
        self.measures.get(name).copied()
    }
}

/// Records as a table, one column a field and one a measure.
///
/// # Errors
/// [`TaskError::Table`] when polars declines; `path` is where the table is to go.
pub fn to_frame(records: &[Record], path: &Path) -> Result<DataFrame, TaskError> {
    let text = |name: &str, of: &dyn Fn(&Record) -> Option<&str>| -> Column {
        Series::new(name.into(), records.iter().map(of).collect::<Vec<_>>()).into_column()
    };
    let texts = |name: &str, of: &dyn Fn(&Record) -> &Vec<String>| -> Column {
        let lists: Vec<Series> = records
            .iter()
            .map(|r| Series::new("".into(), of(r).iter().map(String::as_str).collect::<Vec<_>>()))
            .collect();
        Series::new(name.into(), lists).into_column()
    };
    let floats: Vec<Series> =
        records.iter().map(|r| Series::new("".into(), r.log_likelihoods.as_slice())).collect();
    let counts: Vec<Series> = records.iter().map(|r| Series::new("".into(), r.tokens.as_slice())).collect();
    let mut columns = vec![
        text("id", &|r| Some(&r.id)),
        text("group", &|r| Some(&r.group)),
        text("prompt", &|r| Some(&r.prompt)),
        text("gold", &|r| r.gold.as_deref()),
        text("prediction", &|r| r.prediction.as_deref()),
        texts("outputs", &|r| &r.outputs),
        texts("choices", &|r| &r.choices),
        Series::new("log_likelihoods".into(), floats).into_column(),
        Series::new("tokens".into(), counts).into_column(),
        texts("outcomes", &|r| &r.outcomes),
    ];
    let names: std::collections::BTreeSet<&str> =
        records.iter().flat_map(|r| r.measures.keys().map(String::as_str)).collect();
    for name in names {
        let values: Vec<Option<f64>> = records.iter().map(|r| r.measure(name)).collect();
        columns.push(Series::new(name.into(), values).into_column());
    }
    DataFrame::new(records.len(), columns)
        .map_err(|error| TaskError::Table { path: path.to_path_buf(), message: error.to_string() })
}
