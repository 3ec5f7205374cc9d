#![doc = include_str!("../README.md")]

mod arm;
mod budget;
mod children;
pub mod claims;
pub mod compare;
mod comparison;
mod digits;
mod error;
pub mod evolved;
mod evolving;
mod experiment;
mod format;
mod judged;
mod machines;
mod measured;
pub mod nano;
mod open;
mod options;
mod outcome;
mod place;
mod preflight;
mod report;
mod requests_bar;
mod respondent;
mod scores;
mod shape;
mod study;

pub use arm::{Arm, Trains, TuningArm};
pub use budget::{Budget, Charge, DeviceMemory};
pub use children::{Children, watch_for_interrupt};
pub use comparison::{Comparison, Ran};
pub use digits::rounded;
pub use error::RecipeError;
pub use evolving::{CallTokens, EvolutionBudget, EvolutionCharge, EvolutionPlan, ModelPrice, ModelPrices};
pub use experiment::{Compute, DataSection, Expected, Experiment, Length, ModelSection, Storage, TestSet};
pub use format::{BaseFormat, DoubleQuant};
pub use judged::{Compared, Judge, Judged};
pub use machines::{Machine, Machines};
pub use measured::Measured;
pub use open::{OpenOptions, Opened};
pub use options::RunOptions;
pub use outcome::Stored;
pub use place::{find_base, hub_name, is_spelt_as_a_path, local_base};
pub use preflight::Preflight;
pub use report::{
    ArmRow, ClaimRow, Curve, FormatRow, PlanRow, Report, RunFacts, Sample, Tuning, machine, today,
    write_report,
};
pub use requests_bar::{requests_bar, show_evolving, show_requests};
pub use respondent::{OpenRespondent, Respondent};
pub use scores::{loss_pair, matches_crossed, token_mean};
pub use shape::known_shape;
pub use study::{PRETRAINING, Study, Tuned, Untuned};
