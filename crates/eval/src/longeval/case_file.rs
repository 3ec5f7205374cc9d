//! Files of test cases: made up, read and written.

use std::path::{Path, PathBuf};

use camelid_files::records::Records;
use camelid_files::write_whole;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::cases::{LongEvalCase, LongEvalTask};
use super::error::LongEvalError;
use super::{lines, topics};

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
        if !(1..=most(task)).contains(&size) {
            return Err(LongEvalError::Setting {
                setting: "length",
                found: size.to_string(),
                expected: format!("1 to {} {}", most(task), task.as_str()),
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

/// The largest size for which there are names.
fn most(task: LongEvalTask) -> usize {
    match task {
        LongEvalTask::Lines => lines::MOST,
        LongEvalTask::Topics => topics::MOST,
    }
}
