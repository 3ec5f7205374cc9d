//! Cases put to a model.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use camelid_chat::requests::{ChatRequest, RequestStore, RunSettings, Runner};
use camelid_chat::{GenerateOptions, Message, Role, TextGenerator};
use camelid_files::{FileError, write_whole};

use super::answers::{AnswerFile, LongEvalAnswer};
use super::case_file::CaseFile;
use super::error::LongEvalError;

/// A model, and how it is asked.
pub struct LongEvalModel<'a> {
    /// Its name in the names of files.
    pub name: &'a str,
    /// Its name in requests, which tells it apart from every other model.
    pub request_name: &'a str,
    /// Who answers.
    pub generator: &'a dyn TextGenerator,
    /// Concurrency, rate and prices.
    pub settings: RunSettings,
    /// Tokens an answer may take; the task's own number unless given.
    pub max_new_tokens: Option<usize>,
}

/// How far a run is: answers that are there, and cases in all.
pub type Progressed = (usize, usize);

/// Where the predictions for a test file are kept below `folder`, as among the published ones:
/// `lines/predictions/<model>/200_response.txt`.
pub fn predictions_path(folder: &Path, model: &str, cases: &CaseFile) -> PathBuf {
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let model: String = model.chars().map(plain).collect();
    let folder = folder.join(cases.task.as_str()).join("predictions").join(model);
    folder.join(format!("{}_response.txt", cases.size))
}

impl LongEvalModel<'_> {
    /// Puts every case to the model at temperature 0 and writes its predictions below `folder`. What
    /// the store holds is not asked again.
    ///
    /// # Errors
    /// [`LongEvalError`]: a case without an answer, a run that was broken off, a file that cannot be
    /// written.
    pub fn answer(
        &self,
        cases: &CaseFile,
        store: &RequestStore,
        folder: &Path,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(Progressed),
    ) -> Result<AnswerFile, LongEvalError> {
        let options = GenerateOptions {
            max_new_tokens: self.max_new_tokens.unwrap_or(cases.task.max_new_tokens()),
            ..GenerateOptions::default()
        };
        let request = |prompt: &str| ChatRequest {
            model: self.request_name.to_owned(),
            messages: vec![Message::new(Role::User, prompt)],
            options: options.clone(),
        };
        let requests: Vec<ChatRequest> = cases.cases.iter().map(|case| request(case.prompt())).collect();
        let runner = Runner::new(self.generator, store, self.settings.clone())?.stop_on(stop);
        let replies = runner.run(&requests, &mut |at| progress((at.done(), at.total)))?;
        let mut answers = Vec::with_capacity(replies.len());
        for (number, (case, reply)) in cases.cases.iter().zip(replies).enumerate() {
            let reply = reply.map_err(|source| LongEvalError::NoAnswer {
                case: number,
                file: cases.file_name(),
                source,
            })?;
            let prompt_tokens = reply.prompt_tokens.map(|tokens| tokens as u64);
            answers.push(LongEvalAnswer { label: case.label(), text: reply.text, prompt_tokens });
        }
        let path = predictions_path(folder, self.name, cases);
        let mut file = AnswerFile { path, task: cases.task, answers, stated_accuracy: None };
        if let Some(parent) = file.path.parent() {
            std::fs::create_dir_all(parent)
                .map_err(FileError::io(parent, "create the folder of predictions"))?;
        }
        write_whole(&file.path, file.text().as_bytes())?;
        file.stated_accuracy = Some(file.correct() as f64 / file.answers.len().max(1) as f64);
        Ok(file)
    }
}
