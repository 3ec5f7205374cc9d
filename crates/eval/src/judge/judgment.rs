//! Judgments: rows of a judge's verdicts with everything that stands behind them.

use std::collections::BTreeMap;

use polars::prelude::{Column, DataFrame, PolarsResult};
use serde::{Deserialize, Serialize};

use super::verdict::Verdict;
use camelid_ratings::{Battles, NamedBattle, Outcome, RejectedRow};

/// One verdict, or why there is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judgment {
    /// The question's id.
    pub question: String,
    /// Its category.
    pub category: String,
    /// The turn that was judged, from 1.
    pub turn: u32,
    /// The model that was judged; of two, the one shown first.
    pub model: String,
    /// The model shown second.
    pub opponent: Option<String>,
    /// What the judge decided.
    pub verdict: Option<Verdict>,
    /// Why there is no verdict.
    pub error: Option<String>,
    /// The reply names more than one winner; the last counts.
    pub contradictory: bool,
    /// The judge's reply, or what came in its place.
    pub text: String,
    /// The judge.
    pub judge: String,
    /// The version of the judge, in its server's words.
    pub judge_version: Option<String>,
    /// Temperature of the judge, where that is known.
    pub temperature: Option<f32>,
    /// The judge's server takes no temperature and used its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_temperature: bool,
    /// Name of the prompt.
    pub prompt: String,
    /// SHA-256 of the prompt, in hexadecimal.
    pub prompt_hash: String,
    /// Key of the request, where there was one.
    pub request: Option<String>,
    /// Tokens of the judge's prompt.
    pub prompt_tokens: Option<usize>,
    /// Tokens of the judge's reply.
    pub new_tokens: Option<usize>,
    /// When the reply arrived, in seconds since the Unix epoch.
    pub timestamp: f64,
}

/// Who judged, and by which prompts: what stands beside every score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgedBy {
    /// The judge.
    pub judge: String,
    /// Versions of the judge that answered; empty where its server names none.
    pub versions: Vec<String>,
    /// Its temperatures; empty where they are not known.
    pub temperatures: Vec<f32>,
    /// A server took no temperature and used its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_temperature: bool,
    /// Prompt → SHA-256, in hexadecimal.
    pub prompts: BTreeMap<String, String>,
}

impl JudgedBy {
    /// Of all judges of `rows`; several names are joined with commas.
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a Judgment>) -> Self {
        let mut judges: Vec<&str> = Vec::new();
        let mut all = Self {
            judge: String::new(),
            versions: Vec::new(),
            temperatures: Vec::new(),
            own_temperature: false,
            prompts: BTreeMap::new(),
        };
        for row in rows {
            if !judges.contains(&row.judge.as_str()) {
                judges.push(&row.judge);
            }
            if let Some(version) = &row.judge_version
                && !all.versions.contains(version)
            {
                all.versions.push(version.clone());
            }
            if let Some(temperature) = row.temperature
                && !all.temperatures.contains(&temperature)
            {
                all.temperatures.push(temperature);
            }
            all.own_temperature |= row.own_temperature;
            all.prompts.entry(row.prompt.clone()).or_insert_with(|| row.prompt_hash.clone());
        }
        all.judge = judges.join(", ");
        all
    }
}

impl std::fmt::Display for JudgedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let temperatures: Vec<String> = self.temperatures.iter().map(ToString::to_string).collect();
        let temperatures =
            if temperatures.is_empty() { "not stated".to_owned() } else { temperatures.join(", ") };
        let versions =
            if self.versions.is_empty() { "version not stated".to_owned() } else { self.versions.join(", ") };
        let prompts: Vec<String> = self
            .prompts
            .iter()
            .map(|(name, hash)| format!("{name} {}", hash.get(..12).unwrap_or(hash)))
            .collect();
        write!(
            f,
            "{} ({versions}), temperature {}{}, prompts {}",
            self.judge,
            temperatures,
            if self.own_temperature { " (refused: the server's own)" } else { "" },
            prompts.join(", ")
        )
    }
}

/// The verdicts on pairs as battles, each presentation order a battle of its own; a row without a
/// verdict is a rejected one, and grades of single answers are none.
pub fn battles(rows: &[Judgment]) -> Battles {
    let mut battles = Battles::new();
    for (index, row) in rows.iter().enumerate() {
        let Some(opponent) = &row.opponent else { continue };
        let outcome = row.verdict.and_then(Verdict::outcome).ok_or_else(|| {
            let found = row.error.as_deref().unwrap_or("no comparison");
            RejectedRow::new("verdict", found, "a verdict on two answers")
        });
        let pushed = outcome.and_then(|outcome| {
            battles.push(&NamedBattle {
                question: Some(&row.question),
                judge: Some(&row.judge),
                turn: Some(row.turn),
                timestamp: Some(row.timestamp),
                ..NamedBattle::new(&row.model, opponent, outcome)
            })
        });
        if let Err(rejected) = pushed {
            battles.reject(rejected.at("judgments", index + 1));
        }
    }
    battles
}

/// Judgments as a frame, one row each: `score` is a single answer's grade, `score_a` and `score_b`
/// are two answers' grades, `winner` is `model_a` (shown first), `model_b` or `tie`.
///
/// # Errors
/// Those of polars, which columns of one length do not give.
pub fn judgments_frame(rows: &[Judgment]) -> PolarsResult<DataFrame> {
    let texts = |name: &str, of: fn(&Judgment) -> &str| {
        Column::new(name.into(), rows.iter().map(of).collect::<Vec<_>>())
    };
    let optional = |name: &str, of: fn(&Judgment) -> Option<&str>| {
        Column::new(name.into(), rows.iter().map(of).collect::<Vec<_>>())
    };
    let grades = |name: &str, of: fn(Verdict) -> Option<f64>| {
        Column::new(name.into(), rows.iter().map(|row| row.verdict.and_then(of)).collect::<Vec<_>>())
    };
    let counts = |name: &str, of: fn(&Judgment) -> Option<usize>| {
        Column::new(name.into(), rows.iter().map(|row| of(row).map(|n| n as u64)).collect::<Vec<_>>())
    };
    let columns = vec![
        texts("question", |row| &row.question),
        texts("category", |row| &row.category),
        Column::new("turn".into(), rows.iter().map(|row| row.turn).collect::<Vec<_>>()),
        texts("model_a", |row| &row.model),
        optional("model_b", |row| row.opponent.as_deref()),
        grades("score", |verdict| match verdict {
            Verdict::Rating(grade) => Some(grade),
            _ => None,
        }),
        grades("score_a", |verdict| match verdict {
            Verdict::Ratings(first, _) => Some(first),
            _ => None,
        }),
        grades("score_b", |verdict| match verdict {
            Verdict::Ratings(_, second) => Some(second),
            _ => None,
        }),
        optional("winner", |row| row.verdict.and_then(Verdict::outcome).map(Outcome::label)),
        optional("error", |row| row.error.as_deref()),
        Column::new("contradictory".into(), rows.iter().map(|row| row.contradictory).collect::<Vec<_>>()),
        texts("text", |row| &row.text),
        texts("judge", |row| &row.judge),
        optional("judge_version", |row| row.judge_version.as_deref()),
        Column::new("temperature".into(), rows.iter().map(|row| row.temperature).collect::<Vec<_>>()),
        texts("prompt", |row| &row.prompt),
        texts("prompt_hash", |row| &row.prompt_hash),
        optional("request", |row| row.request.as_deref()),
        counts("prompt_tokens", |row| row.prompt_tokens),
        counts("new_tokens", |row| row.new_tokens),
        Column::new("timestamp".into(), rows.iter().map(|row| row.timestamp).collect::<Vec<_>>()),
    ];
    DataFrame::new(rows.len(), columns)
}
