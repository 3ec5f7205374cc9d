//! `POST /v1/completions`.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::fields::{Fields, kind};
use super::logprobs::CompletionLogprobs;
use super::models::Usage;
use super::sampling::{MOST_LOGPROBS, Sampling};
use crate::error::ServeError;

/// OpenAI's limit of a completion that names none.
const DEFAULT_MAX_TOKENS: usize = 16;
/// Most prompts of one request.
const MOST_PROMPTS: usize = 256;

/// What is asked.
#[derive(Clone, Debug)]
pub struct CompletionRequest {
    /// What is continued.
    pub prompts: Vec<PromptText>,
    /// Whether the answer begins with the prompt.
    pub echo: bool,
    /// How many alternatives of each token are told, if any are told at all.
    pub logprobs: Option<usize>,
    /// The rest.
    pub sampling: Sampling,
    /// Names of fields that mean nothing here.
    pub unknown: Vec<String>,
}

/// A prompt: a text, or tokens of this model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptText {
    /// A text.
    Text(String),
    /// Token ids.
    Ids(Vec<u32>),
}

impl CompletionRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// Names the field that is not what it should be.
    pub fn read(body: &[u8]) -> Result<Self, ServeError> {
        let mut fields = Fields::of_body(body)?;
        let prompts = PromptText::read(&mut fields, "prompt")?;
        let sampling = Sampling::read(&mut fields, Some(DEFAULT_MAX_TOKENS))?;
        let echo = fields.take("echo", "true or false")?.unwrap_or(false);
        let logprobs = logprobs(&mut fields)?;
        if sampling.max_tokens == Some(0) && !echo {
            return Err(fields.wrong("max_tokens", "0", "a whole number from 1 without `echo`"));
        }
        if let Some(best_of) = fields.count("best_of", 1, usize::MAX)?
            && best_of != sampling.n
        {
            return Err(fields.wrong(
                "best_of",
                &best_of.to_string(),
                "the same as `n`: all answers are sent",
            ));
        }
        if fields.take::<String>("suffix", "a text")?.is_some_and(|suffix| !suffix.is_empty()) {
            return Err(fields.wrong("suffix", "set", "none: this model continues texts and fills no gaps"));
        }
        fields.value("user");
        Ok(Self { prompts, echo, logprobs, sampling, unknown: fields.unread() })
    }
}

impl PromptText {
    /// Reads a text, a list of texts, a list of token ids or a list of such lists.
    ///
    /// # Errors
    /// When it is none of them, or empty.
    pub fn read(fields: &mut Fields, name: &str) -> Result<Vec<Self>, ServeError> {
        let expected = "a text, token ids, or a list of either";
        let value = fields.value(name).ok_or_else(|| fields.missing(name, expected))?;
        let prompts = match value {
            Value::String(text) => vec![Self::Text(text)],
            Value::Array(items) if items.first().is_some_and(Value::is_number) => {
                vec![
                    Self::one(Value::Array(items))
                        .ok_or_else(|| fields.wrong(name, "a mixed list", expected))?,
                ]
            }
            Value::Array(items) if items.is_empty() => {
                return Err(fields.wrong(name, "an empty list", expected));
            }
            Value::Array(items) => items
                .into_iter()
                .map(Self::one)
                .collect::<Option<_>>()
                .ok_or_else(|| fields.wrong(name, "a mixed list", expected))?,
            other => return Err(fields.wrong(name, kind(&other), expected)),
        };
        if prompts.len() > MOST_PROMPTS {
            let found = format!("a list of {}", prompts.len());
            return Err(fields.wrong(name, &found, &format!("at most {MOST_PROMPTS} of them")));
        }
        Ok(prompts)
    }

    fn one(value: Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text)),
            Value::Array(ids) => serde_json::from_value(Value::Array(ids)).ok().map(Self::Ids),
            _ => None,
        }
    }
}

/// A number of alternatives; some clients send true or false as for a chat.
fn logprobs(fields: &mut Fields) -> Result<Option<usize>, ServeError> {
    match fields.value("logprobs") {
        Some(Value::Bool(wanted)) => Ok(wanted.then_some(0)),
        Some(value) => match value.as_u64().map(|n| n as usize) {
            Some(n) if n <= MOST_LOGPROBS => Ok(Some(n)),
            _ => {
                let expected = format!("a whole number from 0 to {MOST_LOGPROBS}");
                Err(fields.wrong("logprobs", &value.to_string(), &expected))
            }
        },
        None => Ok(None),
    }
}

/// An answer, or with `stream` a piece of one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Completion {
    /// The answer's name.
    pub id: String,
    /// `text_completion`.
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: u64,
    /// The model that answered.
    pub model: String,
    /// The server's version.
    pub system_fingerprint: &'static str,
    /// The continuations: all of the first prompt, then all of the second.
    pub choices: Vec<CompletionChoice>,
    /// Tokens read and written; in a stream as in [`super::ChatChunk`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Option<Usage>>,
}

/// One continuation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CompletionChoice {
    /// Its number, from 0.
    pub index: usize,
    /// The text, or more of it.
    pub text: String,
    /// Log-probabilities, if asked for.
    pub logprobs: Option<CompletionLogprobs>,
    /// `stop` or `length`; null before the end of a stream.
    pub finish_reason: Option<&'static str>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<CompletionRequest, String> {
        CompletionRequest::read(body.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_prompt_comes_in_four_forms() {
        let of = |prompt: Value| read(json!({ "prompt": prompt })).map(|read| read.prompts);
        let (a, b) = (PromptText::Text("a".into()), PromptText::Text("b".into()));
        assert_eq!(of(json!("a")).unwrap(), [PromptText::Text("a".into())]);
        assert_eq!(of(json!(["a", "b"])).unwrap(), [a, b]);
        assert_eq!(of(json!([1, 2])).unwrap(), [PromptText::Ids(vec![1, 2])]);
        assert_eq!(
            of(json!([[1], [2, 3]])).unwrap(),
            [PromptText::Ids(vec![1]), PromptText::Ids(vec![2, 3])]
        );
        for bad in [json!([]), json!({"a": 1}), json!([1, "a"]), json!([-1]), json!([["a"]]), json!(7)] {
            assert!(of(bad.clone()).unwrap_err().contains("`prompt`"), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_and_not_ignored() {
        assert!(read(json!({"prompt": "a", "suffix": "b"})).unwrap_err().contains("`suffix`"));
        assert!(read(json!({"prompt": "a", "best_of": 3})).unwrap_err().contains("`best_of`"));
        assert!(read(json!({"prompt": "a", "logprobs": 21})).unwrap_err().contains("`logprobs`"));
        assert!(read(json!({"prompt": "a", "max_tokens": 0})).unwrap_err().contains("`max_tokens`"));
        assert!(read(json!({"prompt": "a", "max_tokens": 0, "echo": true})).is_ok());
        assert_eq!(read(json!({"prompt": "a", "frobnicate": 1})).unwrap().unknown, ["frobnicate"]);
    }
}
