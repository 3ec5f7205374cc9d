//! PEFT's adapter files: `adapter_config.json` and `adapter_model.safetensors`.

mod config;
mod files;
mod weights;

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;

use crate::config::LoraConfig;
use crate::error::LoraError;
use crate::host::AdapterHost;
use crate::linear::LoraAdapter;

/// File name of an adapter's settings.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// File name of an adapter's tensors.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

/// Reads the settings of the adapter in `dir`.
///
/// # Errors
/// When the file cannot be read or parsed, or asks for a feature this crate
/// does not have (DoRA, biases, modules to save, …), which is then named.
pub fn read_peft_config(dir: &Path) -> Result<LoraConfig, LoraError> {
    config::read(&dir.join(ADAPTER_CONFIG))
}

/// Freezes the model and puts the adapter stored in `dir` on it, trainable.
///
/// Returns the model and the adapter's settings.
///
/// # Errors
/// As [`read_peft_config`]; and when a tensor is missing, unexpected, of the
/// wrong shape or type, or when the model already carries an adapter.
pub fn load_peft<M: Module + AdapterHost>(
    model: M,
    dir: &Path,
    device: &Device,
) -> Result<(M, LoraConfig), LoraError> {
    let config = read_peft_config(dir)?;
    let mut factors = weights::read(&dir.join(ADAPTER_WEIGHTS))?;
    let chosen = config
        .target_modules
        .choose(&model.linear_paths())
        .map_err(|error| error.in_file(&dir.join(ADAPTER_CONFIG)))?;

    let mut model = model.no_grad();
    for (path, linear) in model.linears_mut() {
        if !chosen.contains(&path) {
            continue;
        }
        if linear.adapter.is_some() {
            return Err(LoraError::AlreadyAttached { layer: path });
        }
        let (a, b) = factors.take(&path, config.r, linear.in_features(), linear.out_features(), device)?;
        linear.adapter = Some(LoraAdapter::from_factors(&config, a, b));
    }
    factors.expect_empty()?;
    Ok((model, config))
}

/// Writes the model's adapter to `dir` (made if absent) so that PEFT can load it.
/// Each file appears whole or not at all; the settings come last, and those of an
/// adapter stored there before go first, so that they never stand beside weights
/// they do not belong to.
///
/// `base_model` is what PEFT will look for as `base_model_name_or_path`.
///
/// # Errors
/// When no layer carries an adapter, one has another rank or scale than `config`
/// gives, or a file cannot be written.
pub fn save_peft<M: AdapterHost>(
    model: &M,
    config: &LoraConfig,
    base_model: Option<&str>,
    dir: &Path,
) -> Result<(), LoraError> {
    let adapters: BTreeMap<String, &LoraAdapter> = model
        .linears()
        .into_iter()
        .filter_map(|(path, linear)| Some((path, linear.adapter.as_ref()?)))
        .collect();
    if adapters.is_empty() {
        return Err(LoraError::NoAdapter { action: "save" });
    }
    check_settings(config, &adapters)?;
    std::fs::create_dir_all(dir).map_err(|source| LoraError::Io { path: dir.to_path_buf(), source })?;
    let paths: Vec<String> = adapters.keys().cloned().collect();
    let weights_file = dir.join(ADAPTER_WEIGHTS);
    let weights = files::Staged::write(&weights_file, &weights::write(&weights_file, &adapters)?)?;
    let config_file = dir.join(ADAPTER_CONFIG);
    let settings = files::Staged::write(&config_file, config::write(config, &paths, base_model).as_bytes())?;
    files::remove(&config_file)?;
    weights.publish()?;
    settings.publish()
}

/// A file whose settings give another rank or scale could not be loaded, or would
/// load as another update.
fn check_settings(config: &LoraConfig, adapters: &BTreeMap<String, &LoraAdapter>) -> Result<(), LoraError> {
    for (layer, adapter) in adapters {
        let (setting, found, given) = if adapter.r() != config.r {
            ("r", adapter.r().to_string(), config.r.to_string())
        } else if adapter.scale() != config.scale() {
            ("scale", adapter.scale().to_string(), config.scale().to_string())
        } else {
            continue;
        };
        return Err(LoraError::OtherSettings { layer: layer.clone(), setting, found, given });
    }
    Ok(())
}
