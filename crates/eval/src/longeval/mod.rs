//! LongEval: what a model still finds in a long text (Li et al. 2023, with LongChat).
//!
//! Two tasks, each of growing length: **lines**, a record of numbered lines of which one number is
//! asked for, and **topics**, a long conversation whose first topic is asked for. Test files and
//! files of predictions have the published form, so that published ones can be put to a model and
//! scored, and ours by others. The made-up prompts have the published form in our own words:
//! figures of published test files and of made-up ones are not to be mixed.

mod answers;
mod case_file;
mod cases;
mod completing;
mod error;
mod lines;
mod run;
mod scores;
mod topics;
mod words;

pub use answers::{AnswerFile, LongEvalAnswer};
pub use case_file::CaseFile;
pub use cases::{LongEvalCase, LongEvalTask};
pub use completing::Completing;
pub use error::LongEvalError;
pub use run::{LongEvalModel, Progressed, predictions_path};
pub use scores::{LengthScore, LongEvalScores};
