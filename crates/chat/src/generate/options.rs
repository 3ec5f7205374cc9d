//! How to continue a prompt.

use serde::{Deserialize, Serialize};

/// A setting of generation is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("generation option `{option}` is {found}; expected {expected}")]
pub struct OptionError {
    /// The option's name.
    pub option: &'static str,
    /// The value given.
    pub found: String,
    /// The values allowed.
    pub expected: &'static str,
}

/// Settings of generation, with the names and meanings of transformers.
///
/// The filters apply in transformers' order: repetition penalty, temperature,
/// top-k, top-p, min-p.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenerateOptions {
    /// Most tokens to add. Default 256.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 takes the likeliest token always. Default 0.
    pub temperature: f32,
    /// Keep only this many likeliest tokens; 0 keeps all. Default 0.
    pub top_k: usize,
    /// Keep the fewest tokens whose probabilities reach this sum. Default 1, all.
    pub top_p: f32,
    /// Keep tokens at least this probable relative to the likeliest. Default 0, all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens already in the
    /// text (Keskar et al. 2019). Default 1, none.
    pub repetition_penalty: f32,
    /// Texts that end generation; they are not part of the result.
    pub stop: Vec<String>,
    /// Tokens that end generation; they are not part of the result.
    pub stop_ids: Vec<u32>,
    /// Seed of sampling. Default 0.
    pub seed: u64,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_new_tokens: 256,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            stop: Vec::new(),
            stop_ids: Vec::new(),
            seed: 0,
        }
    }
}

impl GenerateOptions {
    /// Checks every number against its range.
    ///
    /// # Errors
    /// Names the option, its value and the range.
    pub fn check(&self) -> Result<(), OptionError> {
        let ranges: [(&'static str, f32, bool, &'static str); 4] = [
            (
                "temperature",
                self.temperature,
                self.temperature.is_finite() && self.temperature >= 0.0,
                "a number from 0",
            ),
            ("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "a number above 0 and up to 1"),
            ("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "a number from 0 to 1"),
            (
                "repetition_penalty",
                self.repetition_penalty,
                self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0,
                "a positive number",
            ),
        ];
        for (option, value, good, expected) in ranges {
            if !good {
                return Err(OptionError { option, found: value.to_string(), expected });
            }
        }
        if self.stop.iter().any(String::is_empty) {
            return Err(OptionError {
                option: "stop",
                found: "an empty string".into(),
                expected: "texts of at least one character",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_named() {
        let d = GenerateOptions::default;
        for (options, name) in [
            (GenerateOptions { temperature: -1.0, ..d() }, "temperature"),
            (GenerateOptions { top_p: 0.0, ..d() }, "top_p"),
            (GenerateOptions { min_p: f32::NAN, ..d() }, "min_p"),
            (GenerateOptions { repetition_penalty: 0.0, ..d() }, "repetition_penalty"),
            (GenerateOptions { stop: vec![String::new()], ..d() }, "stop"),
        ] {
            let message = options.check().unwrap_err().to_string();
            assert!(message.contains(&format!("`{name}`")), "{message}");
        }
        assert!(d().check().is_ok());
    }

    #[test]
    fn unknown_options_are_refused() {
        assert!(serde_json::from_str::<GenerateOptions>(r#"{"temprature": 1}"#).is_err());
    }
}
