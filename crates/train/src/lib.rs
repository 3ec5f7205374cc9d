#![doc = include_str!("../README.md")]

mod atomic;
mod block_inputs;
mod checkpoint;
mod error;
mod evaluate;
mod fingerprint;
mod interrupt;
mod memory;
mod metrics;
mod offence;
mod one_step;
mod params_file;
mod plan;
mod progress;
mod schedule;
mod settings;
mod trainer;
mod walk;

pub use block_inputs::BlockInputPaging;
pub use error::TrainError;
pub use evaluate::{EvalLoss, ExampleLoss, evaluate, example_losses};
pub use fingerprint::model_fingerprint;
pub use interrupt::Interrupt;
pub use memory::{Memory, PeakMemory};
pub use metrics::{EvalPoint, StepRecord, Summary};
pub use one_step::{OneStep, OneStepOptions, StepPhase, one_step};
pub use plan::{Cost, MemoryPlan, OptimizerBits, StepShape};
pub use progress::{Observer, Progress, Silent};
pub use schedule::LrSchedule;
pub use settings::{Optim, OptimSpill, TrainSettings};
pub use trainer::{Outcome, Trainer};
pub use walk::{DeviceBatch, loss_and_gradients};
