//! Accuracy against length.

use std::path::Path;

use camelid_ratings::{Z95, share};
use serde::Serialize;

use super::answers::AnswerFile;
use super::cases::LongEvalTask;

/// The score of a file of predictions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LengthScore {
    /// The file.
    pub file: String,
    /// The model, by the folder's name.
    pub model: String,
    /// The task.
    pub task: LongEvalTask,
    /// Lines or topics, by the file's name.
    pub length: Option<usize>,
    /// Cases.
    pub cases: usize,
    /// Right answers.
    pub correct: usize,
    /// Their share.
    pub accuracy: f64,
    /// Lower end of Wilson's 95 % interval.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// What the file itself says.
    pub stated_accuracy: Option<f64>,
    /// Mean tokens of the prompts, where all are known.
    pub prompt_tokens: Option<f64>,
}

impl LengthScore {
    /// Scores a file.
    pub fn of(file: &AnswerFile) -> Self {
        let (cases, correct) = (file.answers.len(), file.correct());
        let interval = share(correct as f64, cases as f64, Z95);
        let tokens: Option<Vec<u64>> = file.answers.iter().map(|answer| answer.prompt_tokens).collect();
        let mean = |tokens: Vec<u64>| tokens.iter().sum::<u64>() as f64 / tokens.len() as f64;
        let folder = file.path.parent().and_then(Path::file_name);
        Self {
            file: file.path.display().to_string(),
            model: folder.map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            task: file.task,
            length: leading_number(&camelid_files::name(&file.path)),
            cases,
            correct,
            accuracy: interval.map_or(0.0, |interval| interval.value),
            low: interval.map_or(0.0, |interval| interval.low),
            high: interval.map_or(1.0, |interval| interval.high),
            stated_accuracy: file.stated_accuracy,
            prompt_tokens: tokens.map(mean),
        }
    }

    /// Where it stands on an axis of lengths: tokens of the prompts, else lines or topics.
    pub fn position(&self) -> Option<f64> {
        self.prompt_tokens.or(self.length.map(|length| length as f64))
    }
}

fn leading_number(name: &str) -> Option<usize> {
    let digits = name.find(|c: char| !c.is_ascii_digit()).map_or(name, |end| &name[..end]);
    digits.parse().ok()
}

/// The scores of several files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LongEvalScores {
    /// One a file, by task, model and length.
    pub files: Vec<LengthScore>,
    /// The command that made them.
    pub command: String,
    /// What has to be known beside the scores.
    pub notes: Vec<String>,
}

impl LongEvalScores {
    /// Scores files; `command` made them.
    pub fn new(files: &[AnswerFile], command: String, notes: Vec<String>) -> Self {
        let mut files: Vec<LengthScore> = files.iter().map(LengthScore::of).collect();
        files.sort_by(|a, b| (a.task, &a.model, a.length).cmp(&(b.task, &b.model, b.length)));
        Self { files, command, notes }
    }
}
