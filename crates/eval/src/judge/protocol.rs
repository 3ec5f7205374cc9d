//! How answers and judgments are sampled, as data.

use std::collections::BTreeMap;
use std::path::Path;

use camelid_files::Input;
use serde::{Deserialize, Serialize};

use super::error::JudgeError;
use super::questions::Question;

const MT_BENCH: &str = include_str!("../../judge/protocol.toml");

/// What answers are sampled with, what judges are, and which categories have a right answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Longest answer, in tokens.
    pub max_new_tokens: usize,
    /// Temperature of answers in categories that have none of their own.
    pub default_temperature: f32,
    /// Categories that are judged beside a reference answer.
    pub reference_categories: Vec<String>,
    /// Temperature of answers by category.
    pub temperatures: BTreeMap<String, f32>,
    /// How judgments are sampled.
    pub judge: Judging,
}

/// How judgments are sampled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judging {
    /// Temperature.
    pub temperature: f32,
    /// Longest judgment, in tokens.
    pub max_new_tokens: usize,
}

impl Protocol {
    /// MT-bench's, as FastChat runs it (`judge/protocol.toml`).
    ///
    /// # Errors
    /// Only if this crate were damaged.
    pub fn mt_bench() -> Result<Self, JudgeError> {
        Self::from_toml(MT_BENCH, Path::new("judge/protocol.toml"))
    }

    /// Reads a protocol of the user's own.
    ///
    /// # Errors
    /// [`JudgeError::File`] for what cannot be read or is no protocol.
    pub fn read(path: &Path) -> Result<Self, JudgeError> {
        Self::from_toml(&Input::open(path)?.text()?, path)
    }

    fn from_toml(text: &str, path: &Path) -> Result<Self, JudgeError> {
        let protocol: Self =
            toml::from_str(text).map_err(|error| JudgeError::content(path, error.to_string()))?;
        protocol.check()?;
        Ok(protocol)
    }

    /// The temperature at which answers to a question are sampled.
    pub fn temperature(&self, question: &Question) -> f32 {
        let of_category = || self.temperatures.get(&question.category).copied();
        question.temperature.or_else(of_category).unwrap_or(self.default_temperature)
    }

    /// Whether a category is judged beside a reference answer.
    pub fn needs_reference(&self, category: &str) -> bool {
        self.reference_categories.iter().any(|c| c == category)
    }

    /// That every number lies in its range.
    ///
    /// # Errors
    /// [`JudgeError::Setting`] with the first that does not.
    pub fn check(&self) -> Result<(), JudgeError> {
        let temperatures =
            self.temperatures.values().copied().chain([self.default_temperature, self.judge.temperature]);
        for temperature in temperatures {
            if !(temperature.is_finite() && temperature >= 0.0) {
                return Err(JudgeError::Setting {
                    name: "temperature",
                    found: temperature.to_string(),
                    expected: "a number from 0",
                });
            }
        }
        if self.max_new_tokens == 0 || self.judge.max_new_tokens == 0 {
            return Err(JudgeError::Setting {
                name: "max_new_tokens",
                found: "0".to_owned(),
                expected: "at least 1",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperatures_follow_question_category_and_default() {
        let protocol = Protocol::mt_bench().unwrap();
        let mut question = Question {
            id: "1".to_owned(),
            category: "stem".to_owned(),
            turns: vec!["x".to_owned()],
            reference: Vec::new(),
            temperature: None,
        };
        assert_eq!(protocol.temperature(&question), 0.1);
        question.category = "fermi".to_owned();
        assert_eq!(protocol.temperature(&question), 0.7);
        question.temperature = Some(0.0);
        assert_eq!(protocol.temperature(&question), 0.0);
        assert!(protocol.needs_reference("coding") && !protocol.needs_reference("writing"));
    }

    #[test]
    fn a_protocol_with_an_unknown_field_is_refused() {
        let text = MT_BENCH.replace("default_temperature", "default_temprature");
        let error = Protocol::from_toml(&text, Path::new("own.toml")).unwrap_err().to_string();
        assert!(error.contains("own.toml") && error.contains("default_temprature"), "{error}");
        let text = MT_BENCH.replace("stem = 0.1", "stem = -1.0");
        assert!(Protocol::from_toml(&text, Path::new("own.toml")).is_err());
    }
}
