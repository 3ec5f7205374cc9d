//! Putting adapters on a model, whatever the model is.

use burn::module::Module;
use burn::tensor::Device;

use crate::config::LoraConfig;
use crate::error::LoraError;
use crate::linear::{LoraAdapter, LoraLinear};

/// A model whose linear layers can carry adapters.
///
/// The paths are the names PEFT knows the layers by (Hugging Face module
/// paths), unique and in the same order in both methods. The head is not among them.
pub trait AdapterHost {
    /// The layers and their paths.
    fn linears(&self) -> Vec<(String, &LoraLinear)>;
    /// The layers, to be changed.
    fn linears_mut(&mut self) -> Vec<(String, &mut LoraLinear)>;

    /// The paths alone.
    fn linear_paths(&self) -> Vec<String> {
        self.linears().into_iter().map(|(path, _)| path).collect()
    }

    /// Whether any layer carries an adapter.
    fn has_adapter(&self) -> bool {
        self.linears().iter().any(|(_, l)| l.adapter.is_some())
    }
}

/// Freezes the whole model and puts a fresh, trainable adapter on every chosen
/// layer. The same `seed` gives the same bits whatever else is attached.
///
/// # Errors
/// When a setting is out of range, a target matches no layer, or a chosen layer
/// already carries an adapter.
pub fn attach<M: Module + AdapterHost>(
    model: M,
    config: &LoraConfig,
    seed: u64,
    device: &Device,
) -> Result<M, LoraError> {
    config.check()?;
    let chosen = config.target_modules.choose(&model.linear_paths())?;
    let mut model = model.no_grad();
    for (path, linear) in model.linears_mut() {
        if !chosen.contains(&path) {
            continue;
        }
        if linear.adapter.is_some() {
            return Err(LoraError::AlreadyAttached { layer: path });
        }
        let (inputs, outputs) = (linear.in_features(), linear.out_features());
        linear.adapter = Some(LoraAdapter::init(config, inputs, outputs, seed, &path, device));
    }
    Ok(model)
}

/// Takes every adapter off the model and returns how many there were. The base
/// stays frozen.
pub fn detach<M: AdapterHost>(model: &mut M) -> usize {
    model.linears_mut().into_iter().filter_map(|(_, linear)| linear.adapter.take()).count()
}
