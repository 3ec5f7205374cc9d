//! Reviews of QLoRA's evaluation and of Vicuna's first tables: one file for two models, a score
//! for every question, and the models in the file's name only.
//!
//! Which of the two models `answer1` belongs to is not always the first in the name: where a
//! name contains `generations`, QLoRA's files with ten-point scores have it the other way round.
//! Answers carry ids, and every answer stands in many files, so [`read_reviews`] settles the order
//! of each file by the owners that the other files give its answers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fields::optional_text;
use super::rows::{Row, Rows};
use super::values::quoted;
use crate::battles::{Battles, NamedBattle, Outcome};
use crate::error::{RatingsError, RejectedRow};

const PATTERN: &str = "A-vs-B-JUDGE-reviewer[-threeclass].jsonl or [JUDGE_]review_A_B.jsonl";

/// Which model of a file's name `answer1` belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// To the first, as the name says, and the ids of the answers agree.
    AsNamed,
    /// To the second: the ids of the answers contradict the name, and are followed.
    Reversed,
    /// To the first, by the name alone: no other file knows these answers.
    Assumed,
}

/// The order found for one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOrder {
    /// The file's name.
    pub file: String,
    /// The models in the order of the name.
    pub models: (String, String),
    /// Whose answer stands first.
    pub order: Order,
}

/// Reviews of several files.
#[derive(Debug, Clone)]
pub struct Reviews {
    /// The battles, file by file; `model_a` is the model whose answer was shown first.
    pub battles: Battles,
    /// The order of each file.
    pub orders: Vec<FileOrder>,
}

struct ReviewFile {
    models: (String, String),
    judge: Option<String>,
    /// Its name.
    origin: String,
    rows: Vec<Row>,
    /// Whether the name may be the wrong way round.
    doubtful: bool,
}

/// Reads review files that belong together, in the order given, settling the order of each.
///
/// # Errors
/// [`RatingsError::FileName`] where a name does not say which models, otherwise as
/// [`read`](super::read).
pub fn read_reviews(paths: &[PathBuf]) -> Result<Reviews, RatingsError> {
    let records = paths.iter().map(|path| Ok((path.clone(), Rows::open(path)?)));
    let (files, orders) = review_battles(records.collect::<Result<_, RatingsError>>()?)?;
    let mut battles = Battles::new();
    for file in &files {
        battles.extend(file);
    }
    battles.check("reviews")?;
    Ok(Reviews { battles, orders })
}

/// The battles of each file and the order found for it.
pub(super) fn review_battles(
    files: Vec<(PathBuf, Rows)>,
) -> Result<(Vec<Battles>, Vec<FileOrder>), RatingsError> {
    let files = files
        .into_iter()
        .map(|(path, records)| ReviewFile::named(&path, records))
        .collect::<Result<Vec<_>, RatingsError>>()?;
    let orders = settle(&files);
    let battles = files.iter().zip(&orders).map(|(file, order)| file.battles(*order)).collect();
    let orders = files.iter().zip(orders).map(|(file, order)| FileOrder {
        file: file.origin.clone(),
        models: file.models.clone(),
        order,
    });
    Ok((battles, orders.collect()))
}

/// One file alone: its name is all there is to go by.
pub(super) fn read_one(path: &Path, rows: Rows) -> Result<Battles, RatingsError> {
    Ok(ReviewFile::named(path, rows)?.battles(Order::Assumed))
}

/// Goes from files whose names can be trusted to those that share answers with them, until no
/// file is left that any other knows.
fn settle(files: &[ReviewFile]) -> Vec<Order> {
    let mut owners: HashMap<&str, &str> = HashMap::new();
    let mut orders: Vec<Option<Order>> = vec![None; files.len()];
    while orders.contains(&None) {
        let mut settled = false;
        for (file, order) in files.iter().zip(&mut orders) {
            if order.is_none()
                && let Some(found) = file.order_by(&owners)
            {
                *order = Some(found);
                file.claim(found, &mut owners);
                settled = true;
            }
        }
        if settled {
            continue;
        }
        // Nothing follows from what is known: trust one more name, a plain one if there is any.
        let open = || files.iter().zip(&orders).enumerate().filter(|(_, (_, order))| order.is_none());
        let next = open().find(|(_, (file, _))| !file.doubtful).or_else(|| open().next());
        let Some((index, _)) = next else { break };
        orders[index] = Some(Order::Assumed);
        files[index].claim(Order::Assumed, &mut owners);
    }
    // What was trusted is confirmed where another file says the same.
    let confirmed = |index: usize| {
        let mut others: HashMap<&str, &str> = HashMap::new();
        for (other, file) in files.iter().enumerate() {
            if other != index {
                file.claim(orders[other].unwrap_or(Order::Assumed), &mut others);
            }
        }
        files[index].order_by(&others)
    };
    let settle = |(index, order): (usize, &Option<Order>)| match order {
        Some(Order::Assumed) | None => match confirmed(index) {
            Some(Order::AsNamed) => Order::AsNamed,
            _ => Order::Assumed,
        },
        Some(order) => *order,
    };
    orders.iter().enumerate().map(settle).collect()
}

impl ReviewFile {
    fn named(path: &Path, rows: Rows) -> Result<Self, RatingsError> {
        let stem = camelid_files::stem(path);
        let (first, second, judge) = models_of(&stem)
            .ok_or_else(|| RatingsError::FileName { path: path.to_owned(), expected: PATTERN })?;
        let doubtful = stem.contains("generations");
        let origin = rows.origin.clone();
        Ok(Self { models: (first, second), judge, origin, rows: rows.collect()?, doubtful })
    }

    fn answers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rows.iter().flatten().filter_map(|record| {
            Some((record.get("answer1_id")?.as_str()?, record.get("answer2_id")?.as_str()?))
        })
    }

    /// The order that the known owners of the answers vote for; `None` without a majority.
    fn order_by(&self, owners: &HashMap<&str, &str>) -> Option<Order> {
        let (first, second) = (self.models.0.as_str(), self.models.1.as_str());
        let (mut named, mut reversed) = (0, 0);
        for (one, two) in self.answers() {
            for (id, as_named, otherwise) in [(one, first, second), (two, second, first)] {
                match owners.get(id) {
                    Some(&owner) if owner == as_named => named += 1,
                    Some(&owner) if owner == otherwise => reversed += 1,
                    _ => {}
                }
            }
        }
        match named.cmp(&reversed) {
            std::cmp::Ordering::Greater => Some(Order::AsNamed),
            std::cmp::Ordering::Less => Some(Order::Reversed),
            std::cmp::Ordering::Equal => None,
        }
    }

    fn claim<'a>(&'a self, order: Order, owners: &mut HashMap<&'a str, &'a str>) {
        let (first, second) = self.shown(order);
        for (one, two) in self.answers() {
            owners.entry(one).or_insert(first);
            owners.entry(two).or_insert(second);
        }
    }

    /// The models in the order in which their answers were shown.
    fn shown(&self, order: Order) -> (&str, &str) {
        let (first, second) = (self.models.0.as_str(), self.models.1.as_str());
        if order == Order::Reversed { (second, first) } else { (first, second) }
    }

    fn battles(&self, order: Order) -> Battles {
        let (first, second) = self.shown(order);
        let mut battles = Battles::new();
        for (index, row) in self.rows.iter().enumerate() {
            let pushed = row
                .as_ref()
                .map_err(Clone::clone)
                .and_then(|row| self.push(&mut battles, row, (first, second)));
            if let Err(rejected) = pushed {
                battles.reject(rejected.at(&self.origin, index + 1));
            }
        }
        battles
    }

    fn push(
        &self,
        battles: &mut Battles,
        row: &Map<String, Value>,
        (first, second): (&str, &str),
    ) -> Result<(), RejectedRow> {
        let question = optional_text(row, &["question_id"], true)?;
        let reviewer = row.get("reviewer_id").and_then(Value::as_str);
        battles.push(&NamedBattle {
            question: question.as_deref(),
            judge: self.judge.as_deref().or(reviewer),
            ..NamedBattle::new(first, second, verdict(row)?)
        })
    }
}

/// A verdict is 1, 2 or 3 (tie), or a pair of scores of which the higher wins; −1 is what was
/// written where a reply could not be read.
fn verdict(record: &Map<String, Value>) -> Result<Outcome, RejectedRow> {
    const EXPECTED: &str = "1, 2 or 3 (tie), or a score for each answer";
    let wrong = |found: String| Err(RejectedRow::new("score", found, EXPECTED));
    match record.get("score") {
        None | Some(Value::Null) => wrong("missing".to_owned()),
        Some(Value::Array(scores)) => match scores.as_slice() {
            [one, two] => match (one.as_f64(), two.as_f64()) {
                (Some(one), Some(two)) if one >= 0.0 && two >= 0.0 => Ok(if one > two {
                    Outcome::ModelA
                } else if one < two {
                    Outcome::ModelB
                } else {
                    Outcome::Tie
                }),
                _ => wrong(format!("[{one}, {two}]")),
            },
            _ => wrong(format!("{} values", scores.len())),
        },
        Some(Value::Number(score)) => match score.as_f64() {
            Some(1.0) => Ok(Outcome::ModelA),
            Some(2.0) => Ok(Outcome::ModelB),
            Some(3.0) => Ok(Outcome::Tie),
            _ => wrong(score.to_string()),
        },
        Some(Value::String(score)) => wrong(quoted(score)),
        Some(other) => wrong(other.to_string()),
    }
}

/// Both models and the judge of a file's stem.
fn models_of(stem: &str) -> Option<(String, String, Option<String>)> {
    if let Some((first, rest)) = stem.split_once("-vs-").or_else(|| stem.split_once("_vs_")) {
        let rest = strip_any(rest, &["threeclass"]).unwrap_or(rest);
        let rest = strip_any(rest, &["reviewer"])?;
        let judge = ["gpt-3.5-turbo", "gpt-4", "gpt4"]
            .into_iter()
            .find(|judge| strip_any(rest, &[judge]).is_some())?;
        let second = strip_any(rest, &[judge])?;
        return Some((model_name(first), model_name(second), Some(judge.to_owned())));
    }
    let (judge, models) = stem.split_once("review_")?;
    let (first, second) = models.split_once('_')?;
    let judge = judge.trim_end_matches(['_', '-']);
    let judge = (!judge.is_empty()).then(|| judge.to_owned());
    (!first.is_empty() && !second.is_empty()).then(|| (first.to_owned(), second.to_owned(), judge))
}

/// The text before `-ending` or `_ending`.
fn strip_any<'a>(text: &'a str, endings: &[&str]) -> Option<&'a str> {
    endings.iter().find_map(|ending| text.strip_suffix(ending)?.strip_suffix(['-', '_']))
}

/// `answer-gpt35` is gpt35; `7b-guanaco-vicuna-generations-topp0.9-temp0.7` is 7b-guanaco.
fn model_name(part: &str) -> String {
    let part = part.strip_prefix("answer-").or_else(|| part.strip_prefix("answer_")).unwrap_or(part);
    let end = part.find("-generations").unwrap_or(part.len());
    let part = &part[..end];
    let of_questions = part.strip_suffix("-vicuna").or_else(|| part.strip_suffix("-oa"));
    match of_questions {
        Some(model) if end < usize::MAX && !model.is_empty() => model.to_owned(),
        _ => part.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_models_and_judge() {
        let name = "65b-guanaco-vicuna-generations-topp0.9-temp0.7-vs-answer-gpt4-gpt-4-reviewer-threeclass";
        let (first, second, judge) = models_of(name).unwrap();
        assert_eq!(
            (first.as_str(), second.as_str(), judge.as_deref()),
            ("65b-guanaco", "gpt4", Some("gpt-4"))
        );
        let (first, second, judge) = models_of("bard-vs-gpt-3.5-gpt4-reviewer").unwrap();
        assert_eq!((first.as_str(), second.as_str(), judge.as_deref()), ("bard", "gpt-3.5", Some("gpt4")));
        let (first, second, judge) = models_of("answer-vicuna-13b-vs-answer-bard-gpt-4-reviewer").unwrap();
        assert_eq!(
            (first.as_str(), second.as_str(), judge.as_deref()),
            ("vicuna-13b", "bard", Some("gpt-4"))
        );
        let (first, second, judge) = models_of("gpt-3.5-turbo_review_alpaca-13b_vicuna-13b").unwrap();
        assert_eq!(
            (first.as_str(), second.as_str(), judge.as_deref()),
            ("alpaca-13b", "vicuna-13b", Some("gpt-3.5-turbo"))
        );
        assert_eq!(models_of("review_gpt35_vicuna-13b").unwrap().2, None);
        assert!(models_of("judgments").is_none() && models_of("a-vs-b").is_none());
    }

    fn write(folder: &Path, name: &str, ids: (&str, &str), scores: &[&str]) -> PathBuf {
        let path = folder.join(name);
        let line = |(q, score): (usize, &&str)| {
            format!(
                "{{\"question_id\": {q}, \"answer1_id\": \"{}{q}\", \"answer2_id\": \"{}{q}\", \"score\": {score}}}\n",
                ids.0, ids.1
            )
        };
        std::fs::write(&path, scores.iter().enumerate().map(line).collect::<String>()).unwrap();
        path
    }

    #[test]
    fn a_file_the_wrong_way_round_is_found_by_its_answers() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let own = "x-vicuna-generations-topp0.9-vs-gpt35-gpt4-reviewer.jsonl";
        let paths = [
            // answer1 is gpt35's although the name has x first.
            write(folder, own, ("g", "x"), &["[9, 7]", "[8, 8]", "[-1, -1]"]),
            write(folder, "bard-vs-gpt35-gpt4-reviewer.jsonl", ("b", "g"), &["[7, 9]", "[5, 8]"]),
            write(folder, "u-vs-w-gpt4-reviewer.jsonl", ("u", "w"), &["1", "3", "4"]),
        ];
        let reviews = read_reviews(&paths).unwrap();
        let orders: Vec<Order> = reviews.orders.iter().map(|o| o.order).collect();
        assert_eq!(orders, [Order::Reversed, Order::AsNamed, Order::Assumed]);
        let first = reviews.battles.named(&reviews.battles.rows()[0]);
        assert_eq!((first.model_a, first.model_b, first.outcome), ("gpt35", "x", Outcome::ModelA));
        assert_eq!((first.judge, first.question), (Some("gpt4"), Some("0")));
        let rejected: Vec<String> = reviews.battles.rejected().iter().map(ToString::to_string).collect();
        assert_eq!(rejected.len(), 2);
        assert!(
            rejected[0].contains(own) && rejected[0].contains("row 3: `score` is [-1, -1]"),
            "{}",
            rejected[0]
        );
        assert!(rejected[1].contains("row 3: `score` is 4; expected 1, 2 or 3 (tie)"), "{}", rejected[1]);
    }

    #[test]
    fn a_name_without_models_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "scores.jsonl", ("a", "b"), &["1"]);
        let error = read_reviews(&[path]).unwrap_err().to_string();
        assert!(error.contains("scores.jsonl") && error.contains("A-vs-B"), "{error}");
    }
}
