//! Settings of a run.

use std::path::PathBuf;

use camelid_sandbox::{Isolation, Limits};

use super::facts::ModelFacts;

/// Settings of a run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Solved examples before each question; the task's own number unless given.
    pub shots: Option<usize>,
    /// Ask only this many examples, spread over the groups; all unless given.
    pub limit: Option<usize>,
    /// Seed of that choice, and of sampling.
    pub seed: u64,
    /// Where results go: finished examples as they come (a run that was broken off goes on from
    /// them), then the table of all as Parquet and the report as JSON.
    pub out: Option<PathBuf>,
    /// How programs are drawn and run.
    pub programs: ProgramOptions,
    /// What the model is.
    pub model: ModelFacts,
}

impl RunOptions {
    /// All examples of a task with its own number of shots, seed 0, nothing kept on disk.
    pub fn new(model: ModelFacts) -> Self {
        Self { shots: None, limit: None, seed: 0, out: None, programs: ProgramOptions::default(), model }
    }
}

/// How generated programs are drawn and run.
#[derive(Clone, Debug)]
pub struct ProgramOptions {
    /// Programs drawn for each problem.
    pub samples: usize,
    /// Temperature they are drawn at; 0 takes the likeliest token, and one sample is enough.
    pub temperature: f32,
    /// The k of each pass@k; none may exceed `samples`.
    pub k: Vec<u64>,
    /// What a program may use.
    pub limits: Limits,
    /// What to do where the kernel refuses isolation.
    pub isolation: Isolation,
}

impl Default for ProgramOptions {
    /// One program a problem, drawn greedily; pass@1; isolation required.
    fn default() -> Self {
        Self {
            samples: 1,
            temperature: 0.0,
            k: vec![1],
            limits: Limits::default(),
            isolation: Isolation::default(),
        }
    }
}
