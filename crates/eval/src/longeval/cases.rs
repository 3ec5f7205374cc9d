//! Test cases and the files they are kept in.

use std::path::{Path, PathBuf};

use camelid_files::records::Records;
use camelid_files::write_whole;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::LongEvalError;
use super::{lines, topics};

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

    fn most(self) -> usize {
        match self {
            Self::Lines => lines::MOST,
            Self::Topics => topics::MOST,
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
    fn to_json(&self) -> Value {
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

    fn from_fields(fields: &Map<String, Value>) -> Result<Self, String> {
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

/// The cases of one task and one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseFile {
    /// The task.
    pub task: LongEvalTask,
    /// Lines or topics of each case.
    pub size: usize,
    /// The cases.
    pub cases: Vec<LongEvalCase>,
}

impl CaseFile {
    /// Makes `count` cases of `size` lines or topics. The same seed gives the same cases, whatever
    /// other lengths are made beside them.
    ///
    /// # Errors
    /// A size of 0, or larger than there are names.
    pub fn generate(task: LongEvalTask, size: usize, count: usize, seed: u64) -> Result<Self, LongEvalError> {
        if !(1..=task.most()).contains(&size) {
            return Err(LongEvalError::Setting {
                setting: "length",
                found: size.to_string(),
                expected: format!("1 to {} {}", task.most(), task.as_str()),
            });
        }
        if count == 0 {
            let (found, expected) = ("0".to_owned(), "at least 1".to_owned());
            return Err(LongEvalError::Setting { setting: "count", found, expected });
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(2 * size as u64 + u64::from(task == LongEvalTask::Topics));
        let one = |id| match task {
            LongEvalTask::Lines => lines::case(size, &mut rng),
            LongEvalTask::Topics => topics::case(size, id, &mut rng),
        };
        Ok(Self { task, size, cases: (0..count).map(one).collect() })
    }

    /// Reads a test file: JSON lines, all of one task and length.
    ///
    /// # Errors
    /// A file that cannot be read or is empty, and a line that is no case of this kind.
    pub fn read(path: &Path) -> Result<Self, LongEvalError> {
        let wrong = |place: String, problem: &str| LongEvalError::Line {
            path: path.to_owned(),
            place,
            problem: problem.to_owned(),
        };
        let mut records = Records::open(path)?;
        let mut cases: Vec<LongEvalCase> = Vec::new();
        while let Some(record) = records.next_record()? {
            let record = record.map_err(|bad| wrong(bad.place.to_string(), &bad.message))?;
            let place = record.place.to_string();
            let case = LongEvalCase::from_fields(&record.fields)
                .map_err(|problem| wrong(place.clone(), &problem))?;
            if cases.first().is_some_and(|first| (first.task(), first.size()) != (case.task(), case.size())) {
                return Err(wrong(place, "another task or length than the first case"));
            }
            cases.push(case);
        }
        let first =
            cases.first().ok_or_else(|| wrong("line 1".to_owned(), "no case; expected JSON lines"))?;
        Ok(Self { task: first.task(), size: first.size(), cases })
    }

    /// Its name among the published ones, such as `200_lines.jsonl`.
    pub fn file_name(&self) -> String {
        format!("{}_{}.jsonl", self.size, self.task.as_str())
    }

    /// Writes the test file into `folder`, which is there; returns its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, LongEvalError> {
        let path = folder.join(self.file_name());
        let text: String = self.cases.iter().map(|case| case.to_json().to_string() + "\n").collect();
        write_whole(&path, text.as_bytes())?;
        Ok(path)
    }
}
