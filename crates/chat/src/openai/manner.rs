//! Parameters that a server will not take, learned from its own words.
//!
//! OpenAI's reasoning models refuse `max_tokens` ("use 'max_completion_tokens' instead"), any
//! temperature but their own, and some servers refuse a seed. Each of these can be said otherwise
//! or left out without another question being asked; everything else that is refused is an error.

use super::config::LengthField;

/// What a refusal of a parameter says, in lower case.
const REFUSALS: [&str; 15] = [
    "unsupported",
    "not support",
    "unrecognized",
    "unrecognised",
    "unknown",
    "unexpected",
    "not permitted",
    "extra inputs",
    "extra_forbidden",
    "extra fields",
    "not allowed",
    "deprecated",
    "only the default",
    "may only be",
    "only 1",
];

/// How requests to a server are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    /// The field that bounds the reply's length.
    pub length_field: LengthField,
    /// Whether the temperature is sent; without, the server uses its own.
    pub temperature: bool,
    /// Whether the seed is sent.
    pub seed: bool,
}

impl Manner {
    pub fn new(length_field: LengthField) -> Self {
        Self { length_field, temperature: true, seed: true }
    }

    /// The manner that these words of the server ask for, where it is another.
    pub fn after(self, status: u16, words: &str) -> Option<Self> {
        if !matches!(status, 400 | 422) {
            return None;
        }
        let words = words.to_lowercase();
        let (length, other) = match self.length_field {
            LengthField::MaxTokens => ("max_tokens", LengthField::MaxCompletionTokens),
            LengthField::MaxCompletionTokens => ("max_completion_tokens", LengthField::MaxTokens),
        };
        let mut manner = self;
        if refuses(&words, length) {
            manner.length_field = other;
        }
        manner.temperature &= !refuses(&words, "temperature") && !wants_its_own(&words, "temperature");
        manner.seed &= !refuses(&words, "seed");
        (manner != self).then_some(manner)
    }
}

/// Whether the words name a parameter, whole, and refuse it.
fn refuses(words: &str, parameter: &str) -> bool {
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let named = words.match_indices(parameter).any(|(at, _)| {
        !words[..at].ends_with(part_of_name) && !words[at + parameter.len()..].starts_with(part_of_name)
    });
    named && REFUSALS.iter().any(|refusal| words.contains(refusal))
}

/// Whether the words ask for one value of a parameter and no other: "temperature must be 1.0". A range
/// ("must be between 0 and 2", "must be 0 or more") is no such value.
fn wants_its_own(words: &str, parameter: &str) -> bool {
    let asks = ["must be ", "must equal ", "should be ", "has to be ", "needs to be "];
    words.match_indices(parameter).any(|(at, _)| {
        let rest = &words[at + parameter.len()..];
        asks.iter().filter_map(|ask| rest.split_once(ask)).any(|(between, value)| {
            let value = value.trim_start_matches("set to ").trim_start_matches("equal to ");
            let digits: String = value.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            let after = value[digits.len()..].trim_start();
            let range = ["or ", "to ", "and ", "through", "-", "\u{2013}", "<", ">"];
            between.len() <= 40
                && digits.trim_end_matches('.').parse::<f64>().is_ok()
                && !range.iter().any(|word| after.starts_with(word))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(words: &str) -> Option<(LengthField, bool, bool)> {
        let manner = Manner::new(LengthField::MaxTokens).after(400, words)?;
        Some((manner.length_field, manner.temperature, manner.seed))
    }

    #[test]
    fn a_refused_parameter_is_said_otherwise_or_left_out() {
        let (plain, other) = (LengthField::MaxTokens, LengthField::MaxCompletionTokens);
        for (words, expected) in [
            (
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
                 'max_completion_tokens' instead.",
                (other, true, true),
            ),
            ("Unsupported value: 'temperature' does not support 0 with this model.", (plain, false, true)),
            ("temperature must be 1.0", (plain, false, true)),
            ("Invalid temperature: it must be 1 for this model", (plain, false, true)),
            ("`temperature` may only be set to 1 when thinking is enabled", (plain, false, true)),
            (
                r#"{"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}"#,
                (plain, true, false),
            ),
        ] {
            assert_eq!(after(words), Some(expected), "{words}");
        }
        let back =
            Manner::new(other).after(422, "Unrecognized request argument supplied: max_completion_tokens");
        assert_eq!(back, Some(Manner::new(plain)));
    }

    #[test]
    fn other_errors_change_nothing() {
        for words in [
            "'max_tokens' or 'max_completion_tokens' is too large: 5000",
            "temperature must be between 0 and 2",
            "temperature must be 0 or more",
            "temperature must be 0 to 2",
            "This model's maximum context length is 4096 tokens",
            "Unknown model `m`",
            "max_tokens is too large: this model supports only 4096, use fewer instead",
            "unsupported: reseed_everything",
        ] {
            assert_eq!(after(words), None, "{words}");
        }
        assert_eq!(Manner::new(LengthField::MaxTokens).after(500, "unsupported 'temperature'"), None);
    }
}
