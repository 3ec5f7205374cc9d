//! Files of predictions, in the published form, and what counts as right.
//!
//! A line a case, `Label: l, Predict: text, Parsed: n, prompt length: t` for lines and
//! `Label: l, Predict: ['text'], prompt length: t` for topics, where line breaks of the text have
//! become spaces; for lines a last `Accuracy: a`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use camelid_files::Input;

use super::cases::LongEvalTask;
use super::error::LongEvalError;

/// What a model answered to a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongEvalAnswer {
    /// The right answer.
    pub label: String,
    /// What the model wrote.
    pub text: String,
    /// Tokens of the prompt, where they are known.
    pub prompt_tokens: Option<u64>,
}

impl LongEvalAnswer {
    /// Whether it is right.
    ///
    /// Lines: the last run of decimal digits, as a number, is the label. Topics: the label, in lower
    /// case and with every run of other characters than a–z and 0–9 as one space, occurs in the text
    /// treated likewise. The second rule is ours: the published figures are of GPT-3.5's verdicts.
    pub fn is_right(&self, task: LongEvalTask) -> bool {
        match task {
            LongEvalTask::Lines => last_number(&self.text) == last_number(&self.label),
            LongEvalTask::Topics => plain(&self.text).contains(&plain(&self.label)),
        }
    }
}

/// The last run of decimal digits without leading zeros; `None` where there is no digit.
fn last_number(text: &str) -> Option<&str> {
    let end = text.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = text[..end]
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    let digits = text[start..end].trim_start_matches('0');
    Some(if digits.is_empty() { "0" } else { digits })
}

/// Lower-case letters and digits, with one space for each run of anything else.
fn plain(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit()));
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A model's answers to the cases of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its task, by what it holds.
    pub task: LongEvalTask,
    /// The answers.
    pub answers: Vec<LongEvalAnswer>,
    /// What its last line says.
    pub stated_accuracy: Option<f64>,
}

impl AnswerFile {
    /// Reads a file of predictions. A line that begins with neither `Label: ` nor `Accuracy: ` goes
    /// on with the answer above it.
    ///
    /// # Errors
    /// A file that cannot be read, holds no answer, or holds a line of another form.
    pub fn read(path: &Path) -> Result<Self, LongEvalError> {
        let text = Input::open(path)?.text()?;
        let wrong = |line: usize, problem: String| LongEvalError::Line {
            path: path.to_owned(),
            place: format!("line {}", line + 1),
            problem,
        };
        let mut stated_accuracy = None;
        let mut entries: Vec<(usize, String)> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if let Some(stated) = line.strip_prefix("Accuracy:") {
                let value = stated.trim().parse::<f64>();
                stated_accuracy =
                    Some(value.map_err(|_| wrong(number, format!("`{}` is no accuracy", stated.trim())))?);
            } else if line.starts_with("Label: ") {
                entries.push((number, line.to_owned()));
            } else if let Some((_, entry)) = entries.last_mut() {
                entry.push('\n');
                entry.push_str(line);
            } else if !line.trim().is_empty() {
                return Err(wrong(number, "expected `Label: …, Predict: …, prompt length: …`".to_owned()));
            }
        }
        let mut task = None;
        let mut answers = Vec::with_capacity(entries.len());
        for (number, entry) in entries {
            let (of, answer) = parse(entry.trim_end()).map_err(|problem| wrong(number, problem))?;
            if task.is_some_and(|task| task != of) {
                return Err(wrong(number, "lines and topics in one file".to_owned()));
            }
            task = Some(of);
            answers.push(answer);
        }
        let task = task.ok_or_else(|| wrong(0, "no line begins with `Label: `".to_owned()))?;
        Ok(Self { path: path.to_owned(), task, answers, stated_accuracy })
    }

    /// How many answers are right.
    pub fn correct(&self) -> usize {
        self.answers.iter().filter(|answer| answer.is_right(self.task)).count()
    }

    /// The file's text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for answer in &self.answers {
            let said = answer.text.replace(['\n', '\r'], " ");
            let predicted = match self.task {
                LongEvalTask::Lines => format!("{said}, Parsed: {}", last_number(&said).unwrap_or("-1")),
                LongEvalTask::Topics => format!("['{}']", said.replace('\\', "\\\\").replace('\'', "\\'")),
            };
            let tokens = answer.prompt_tokens.map_or(-1, |tokens| tokens as i64);
            let _ = writeln!(text, "Label: {}, Predict: {predicted}, prompt length: {tokens}", answer.label);
        }
        if self.task == LongEvalTask::Lines {
            let _ = write!(text, "Accuracy: {}", self.correct() as f64 / self.answers.len().max(1) as f64);
        }
        text
    }
}

fn parse(entry: &str) -> Result<(LongEvalTask, LongEvalAnswer), String> {
    let lacks = |part: &str| format!("no `{part}`; expected `Label: …, Predict: …, prompt length: …`");
    let body = entry.strip_prefix("Label: ").ok_or_else(|| lacks("Label: "))?;
    let (label, rest) = body.split_once(", Predict: ").ok_or_else(|| lacks(", Predict: "))?;
    let (predicted, tokens) =
        rest.rsplit_once(", prompt length: ").ok_or_else(|| lacks(", prompt length: "))?;
    // A model's own file may say more behind the count.
    let tokens: String = tokens.trim().chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
    let (task, text) = match predicted.rsplit_once(", Parsed: ") {
        Some((text, _)) => (LongEvalTask::Lines, text.to_owned()),
        None => (LongEvalTask::Topics, listed(predicted)),
    };
    let answer = LongEvalAnswer { label: label.to_owned(), text, prompt_tokens: tokens.parse().ok() };
    Ok((task, answer))
}

/// The text in a Python list of one string; any other text as it is.
fn listed(text: &str) -> String {
    let inner = text.trim().strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text).trim();
    let quoted = |quote: char| inner.strip_prefix(quote).and_then(|t| t.strip_suffix(quote));
    let Some(inner) = quoted('\'').or_else(|| quoted('"')) else { return text.to_owned() };
    let mut unescaped = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some('n' | 'r' | 't') => unescaped.push(' '),
                Some(other) => unescaped.push(other),
                None => {}
            },
            c => unescaped.push(c),
        }
    }
    unescaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_counts() {
        assert_eq!(last_number("line a-1b is <00417>."), Some("417"));
        assert_eq!(last_number("7"), Some("7"));
        assert_eq!(last_number("é12"), Some("12"));
        assert_eq!(last_number("000"), Some("0"));
        assert_eq!(last_number("none"), None);
    }

    #[test]
    fn topics_are_compared_by_their_words() {
        let answer = |label: &str, text: &str| LongEvalAnswer {
            label: label.to_owned(),
            text: text.to_owned(),
            prompt_tokens: None,
        };
        let right = |label, text| answer(label, text).is_right(LongEvalTask::Topics);
        assert!(right("The joys, and dangers, of tea", "It was \"the joys and dangers of  Tea\"."));
        assert!(!right("The joys of tea", "We spoke about tea."));
    }

    #[test]
    fn lists_of_one_text_are_read_as_python_wrote_them() {
        assert_eq!(listed(r#"["it's"]"#), "it's");
        assert_eq!(listed(r"['a \'b\' \\ c\nd']"), "a 'b' \\ c d");
        assert_eq!(listed("plain [text]"), "plain [text]");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("5_response.txt");
        for (task, label, text) in [
            (LongEvalTask::Lines, "417", "It is, Parsed: 3, <417>\nindeed"),
            (LongEvalTask::Topics, "A, b", "'A, b', I'd say, prompt length: \\ 4"),
        ] {
            let answer = LongEvalAnswer {
                label: label.to_owned(),
                text: text.replace('\n', " "),
                prompt_tokens: Some(12),
            };
            let file = AnswerFile {
                path: path.clone(),
                task,
                answers: vec![answer.clone(), answer],
                stated_accuracy: None,
            };
            std::fs::write(&path, file.text()).unwrap();
            let read = AnswerFile::read(&path).unwrap();
            assert_eq!((read.task, &read.answers, read.correct()), (task, &file.answers, 2));
        }
        std::fs::write(&path, "Label: 3, Predict: 3\n").unwrap();
        let error = AnswerFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("5_response.txt, line 1: no `, prompt length: `"), "{error}");
        std::fs::write(&path, "").unwrap();
        assert!(AnswerFile::read(&path).is_err());
    }
}
