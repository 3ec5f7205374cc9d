//! Task definitions, what they are put to, and what comes of it.

mod definition;
mod error;
mod example;
mod journal;
mod local_model;
mod model;
mod number;
mod record;
mod report;
mod rows;
mod run;
mod sample;
mod score;
mod template;

pub use definition::{
    Data, Definition, Files, MultipleChoice, NumberAnswer, Perplexity, ProgramAnswer, Prompt, Shots, Task,
};
pub use error::{ModelFailure, TaskError};
pub use local_model::LocalModel;
pub use model::{Answers, Completion, LanguageModel, Likelihood, Likelihoods};
pub use number::{FinalNumber, final_number};
pub use record::{Record, to_frame};
pub use report::{ModelFacts, TaskReport};
pub use rows::{DataFile, DataPlaces, Row, read};
pub use run::{ProgramOptions, RunOptions, TaskRun};
pub use score::{GroupScore, Score, group_mean, mean, ratio};
