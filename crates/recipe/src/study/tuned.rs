//! A tuned arm: how it is made, and what is measured of it.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use camelid_data::TokenizedSet;
use camelid_eval::exact_match::Marked;
use camelid_lora::save_peft;
use camelid_model::{Llama, open_weights};
use camelid_train::{ExampleLoss, Memory, example_losses};
use serde::{Deserialize, Serialize};

use super::Study;
use crate::{Arm, RecipeError};

/// The folder of an arm's run that holds its model, where every weight was trained.
const MODEL: &str = "model";

/// A tuned arm, one seed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuned {
    /// The arm's name.
    pub arm: String,
    /// The seed of adapters, batches and dropout.
    pub seed: u64,
    /// Trainable parameters.
    pub trainable: usize,
    /// Test loss after tuning, one entry a conversation.
    pub losses: Vec<ExampleLoss>,
    /// Answers to the questions after tuning.
    pub answers: Vec<Marked>,
    /// Replies to the sample prompts after tuning.
    pub samples: Vec<String>,
    /// Training loss of every step.
    pub step_losses: Vec<f64>,
    /// Median training speed.
    pub tokens_per_second: f64,
    /// Peak resident memory of the arm's own process, MiB.
    pub peak_memory_mib: f64,
    /// Seconds of training.
    pub seconds: f64,
    /// Pages of optimizer state moved in and out.
    pub pages_moved: u64,
}

impl Study {
    /// The model that an arm with one seed came to, where every weight was trained.
    ///
    /// # Errors
    /// A model that is not there: the arm was not run, or trains adapters.
    pub fn tuned_model(&self, arm: &impl Arm, seed: u64) -> Result<Llama, RecipeError> {
        let weights = open_weights(&self.comparison.arm_folder(arm, seed)?.join(MODEL))?;
        let experiment = arm.experiment(&self.comparison.experiment, seed);
        Ok(Llama::load(weights.as_ref(), &experiment.weight_storage(), &self.device)?)
    }

    /// Tunes one arm with one seed in this process and leaves its outcome for [`Study::run`]; `false`
    /// when interrupted: the checkpoint is kept, and the next call goes on from it.
    ///
    /// # Errors
    /// The trainer's, a model that cannot be asked, a disk that is full.
    pub fn tune(&self, arm: &impl Arm, seed: u64) -> Result<bool, RecipeError> {
        self.tune_on(arm, seed, self.opened.train.clone())
    }

    /// The same on some of the training set: all of it determines what the outcome is known by.
    ///
    /// # Errors
    /// As [`Study::tune`].
    pub fn tune_on(&self, arm: &impl Arm, seed: u64, train: TokenizedSet) -> Result<bool, RecipeError> {
        let experiment = arm.experiment(&self.comparison.experiment, seed);
        let folder = self.comparison.arm_folder(arm, seed)?;
        let model = self.opened.model(&experiment, &self.device.clone().autodiff())?;
        let trainable = trainable_parameters(&model);
        Memory::reset_peak();
        let watched = (experiment.train.eval_every > 0).then(|| self.test.clone());
        let Some((model, summary)) = self.comparison.train(arm, seed, model, train, watched)? else {
            return Ok(false);
        };
        match &experiment.lora {
            Some(lora) => save_peft(&model, lora, Some(&experiment.model.base), &folder.join("adapter"))?,
            None => model.save_safetensors(&folder.join(MODEL))?,
        }
        let outcome = Tuned {
            arm: arm.name().to_owned(),
            seed,
            trainable,
            losses: example_losses(&model, &self.test)?,
            answers: self.answers(&model, arm.name())?,
            samples: self.replies(&model)?,
            step_losses: summary.losses,
            tokens_per_second: summary.tokens_per_second,
            peak_memory_mib: summary.peak_mib,
            seconds: summary.seconds,
            pages_moved: summary.pages_in + summary.pages_out,
        };
        self.comparison.keep(arm, seed, outcome)?;
        Ok(true)
    }
}

fn trainable_parameters(model: &Llama) -> usize {
    struct Count(usize);
    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                self.0 += param.shape().num_elements();
            }
        }
    }
    let mut count = Count(0);
    model.visit(&mut count);
    count.0
}
