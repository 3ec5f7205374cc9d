//! Test cases, as a line of a test file each.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The two tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LongEvalTask {
    /// The number in a line of a record.
    Lines,
    /// The first topic of a conversation.
    Topics,
}

impl LongEvalTask {
    /// Its name in the names of files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Topics => "topics",
        }
    }

    /// Tokens an answer may take, as in the published runs.
    pub fn max_new_tokens(self) -> usize {
        match self {
            Self::Lines => 100,
            Self::Topics => 50,
        }
    }
}

/// A prompt and the right answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LongEvalCase {
    /// A number in a record.
    Lines {
        /// The line that is asked for.
        name: String,
        /// Its place in the record, from 0.
        place: usize,
        /// Its number.
        number: u64,
        /// Lines of the record.
        lines: usize,
        /// What the model is shown.
        prompt: String,
    },
    /// The first of several topics.
    Topics {
        /// Place of the case in its file, from 0.
        id: usize,
        /// The topics in their order.
        topics: Vec<String>,
        /// What the model is shown.
        prompt: String,
    },
}

impl LongEvalCase {
    /// Which task it belongs to.
    pub fn task(&self) -> LongEvalTask {
        match self {
            Self::Lines { .. } => LongEvalTask::Lines,
            Self::Topics { .. } => LongEvalTask::Topics,
        }
    }

    /// What the model is shown.
    pub fn prompt(&self) -> &str {
        match self {
            Self::Lines { prompt, .. } | Self::Topics { prompt, .. } => prompt,
        }
    }

    /// The right answer.
    pub fn label(&self) -> String {
        match self {
            Self::Lines { number, .. } => number.to_string(),
            Self::Topics { topics, .. } => topics.first().cloned().unwrap_or_default(),
        }
    }

    /// Lines or topics.
    pub fn size(&self) -> usize {
        match self {
            Self::Lines { lines, .. } => *lines,
            Self::Topics { topics, .. } => topics.len(),
        }
    }

    /// The line of a test file. Counts of tokens are −1 there until somebody counts them.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Lines { name, place, number, lines, prompt } => json!({
                "random_idx": [name, place],
                "expected_number": number,
                "num_lines": lines,
                "token_size": -1,
                "correct_line": format!("line {name}: REGISTER_CONTENT is <{number}>\n"),
                "prompt": prompt,
                "prompt_length": -1,
            }),
            Self::Topics { id, topics, prompt } => {
                json!({ "test_id": id, "prompt": prompt, "topics": topics, "prompt_length": -1 })
            }
        }
    }

    pub(super) fn from_fields(fields: &Map<String, Value>) -> Result<Self, String> {
        let prompt = fields.get("prompt").and_then(Value::as_str).ok_or("no text `prompt`")?.to_owned();
        if let Some(topics) = fields.get("topics") {
            let topics: Vec<String> = serde_json::from_value(topics.clone())
                .ok()
                .filter(|topics: &Vec<String>| !topics.is_empty())
                .ok_or("`topics` is no list of at least one text")?;
            let id = fields.get("test_id").and_then(Value::as_u64).ok_or("no whole number `test_id`")?;
            return Ok(Self::Topics { id: id as usize, topics, prompt });
        }
        let number = fields
            .get("expected_number")
            .ok_or("neither `expected_number` (lines) nor `topics`")?
            .as_u64()
            .ok_or("`expected_number` is no whole number from 0")?;
        let lines = fields.get("num_lines").and_then(Value::as_u64).ok_or("no whole number `num_lines`")?;
        let (name, place): (String, usize) = fields
            .get("random_idx")
            .and_then(|index| serde_json::from_value(index.clone()).ok())
            .ok_or("`random_idx` is not [name, place]")?;
        Ok(Self::Lines { name, place, number, lines: lines as usize, prompt })
    }
}
