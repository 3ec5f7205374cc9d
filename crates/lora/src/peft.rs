//! PEFT's adapter files: `adapter_config.json` and `adapter_model.safetensors`.

mod config;
mod names;
mod note;
mod weights;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use camelid_files::{FileError, WholeFile};
use camelid_quant::{BaseLinear, DenseLinear};

use crate::adapter::{LoraAdapter, base_bias};
use crate::attach::Places;
use crate::config::LoraConfig;
use crate::error::LoraError;
use crate::host::{AdapterHost, ModuleMut, ModuleRef, for_each_mut, modules};
use names::Role;
use weights::{Kind, Tensors};

pub use note::PeftNote;

/// File name of an adapter's settings.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// File name of an adapter's tensors.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

/// What was read beside the adapter itself.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedAdapter {
    /// Its settings.
    pub config: LoraConfig,
    /// What was left out, or taken otherwise than it says; each is a line for the user.
    pub notes: Vec<PeftNote>,
}

/// Reads the settings of the adapter in `dir`.
///
/// # Errors
/// When the file cannot be read or parsed, or asks for a feature that changes numbers and that
/// this crate does not have, which is then named.
pub fn read_peft_config(dir: &Path) -> Result<LoraConfig, LoraError> {
    expect_adapter(dir)?;
    Ok(config::read(&dir.join(ADAPTER_CONFIG))?.config)
}

/// Freezes the model and puts the adapter stored in `dir` on it, trainable: factors on the layers
/// that its settings choose, and its copies of modules that were trained whole.
///
/// Names and modules that the model lacks are noted, and so are chosen layers for which the file
/// holds nothing and tensors without a place; only when nothing is left is it an error.
///
/// # Errors
/// As [`read_peft_config`]; and when one of a layer's tensors is missing, of the wrong shape or type, or when the model already carries an adapter.
pub fn load_peft<M: Module + AdapterHost>(
    model: M,
    dir: &Path,
    device: &Device,
) -> Result<(M, LoadedAdapter), LoraError> {
    expect_adapter(dir)?;
    let config_file = dir.join(ADAPTER_CONFIG);
    let LoadedAdapter { mut config, mut notes } = config::read(&config_file)?;
    let mut tensors = weights::read(&weights_in(dir)?)?;

    let mut model = model.no_grad();
    // A file may bring the embedding's or head's weight without a word in the settings.
    if let Some(tied) = model.tied()
        && tensors.has(&tied.head, Role::Weight)
        && !config.ensure_weight_tying
    {
        model.untie();
    }
    let places = Places::of(&mut model, &config, |path| tensors.has_factors(path))
        .map_err(|error| error.in_file(&config_file))?;
    let paths: Vec<String> = modules(&model).into_iter().map(|(path, _)| path).collect();
    if places.factors.is_empty() && places.saved.is_empty() {
        let problem =
            format!("holds nothing for the layers that target_modules chooses, but {}", tensors.some_names());
        return Err(LoraError::NoAdapterFiles { dir: dir.join(ADAPTER_WEIGHTS), problem });
    }

    let mut brought = Vec::new();
    for_each_mut(&mut model, |path, module| {
        if places.saved.iter().any(|saved| saved == path) {
            return take_whole(path, module, &mut tensors, device);
        }
        let chosen = places.gets_factors(path);
        match module {
            ModuleMut::Linear(linear) => {
                // A linear layer's own weight stands in files of PEFT that saved too much.
                let own = tensors.has(path, Role::BaseWeight) && matches!(linear.base, BaseLinear::Dense(_));
                let is_other = !places.linears.iter().any(|l| l == path);
                if (is_other || own)
                    && take_base(path, ModuleMut::Linear(linear), chosen, &mut tensors, device)?
                {
                    brought.push(path.to_string());
                }
                if chosen {
                    let r = config.layer(path)?.r;
                    let kind = Kind { r, dora: config.use_dora, lora_bias: config.lora_bias };
                    let factors = tensors.linear(path, linear, kind, device)?;
                    linear.adapter = Some(LoraAdapter::from_factors(&config, path, factors, &linear.base)?);
                }
            }
            ModuleMut::Embedding(embedding) => {
                if take_base(path, ModuleMut::Embedding(embedding), chosen, &mut tensors, device)? {
                    brought.push(path.to_string());
                }
                if chosen {
                    let [vocab, hidden] = embedding.dims();
                    let r = config.layer(path)?.r;
                    let a = tensors.take(path, Role::EmbeddingA, [r, vocab], device)?;
                    let b = tensors.take(path, Role::EmbeddingB, [hidden, r], device)?;
                    embedding.adapter = Some(LoraAdapter::of_embedding(&config, path, a, b)?);
                }
            }
            ModuleMut::Norm(..) => {}
        }
        Ok(())
    })?;
    if config.ensure_weight_tying
        && let Some(tied) = model.tied()
        && tensors.has(&tied.head, Role::Weight)
    {
        drop_tied_head(&model, &tied.head, &mut tensors, device)?;
    }
    notes.extend(tensors.note.take());
    notes.extend(tensors.left_out(&paths, &places.factors));

    let mut note = |names: Vec<String>, make: fn(Vec<String>) -> PeftNote| {
        if !names.is_empty() {
            notes.push(make(names));
        }
    };
    note(places.unmatched, PeftNote::TargetsWithoutModule);
    note(places.unmatched_saves, PeftNote::SavesWithoutModule);
    note(places.without_factors, PeftNote::ModulesWithoutFactors);
    config.modules_to_save.extend(brought.iter().filter(|path| !places.factors.contains(path)).cloned());
    note(brought, PeftNote::BringsWeights);
    Ok((model, LoadedAdapter { config, notes }))
}

/// Says what is there where an adapter is not.
fn expect_adapter(dir: &Path) -> Result<(), LoraError> {
    if dir.join(ADAPTER_CONFIG).exists() {
        return Ok(());
    }
    let problem = if !dir.exists() {
        format!("no such folder; one with {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS} is expected")
    } else if !dir.is_dir() {
        format!("a file, but the folder that holds {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS} is expected")
    } else if dir.join("config.json").exists() {
        format!("a model's folder, not an adapter's: there is a config.json and no {ADAPTER_CONFIG}")
    } else {
        let within = std::fs::read_dir(dir).map_err(FileError::io(dir, "read"))?.filter_map(|entry| {
            let path = entry.ok()?.path();
            path.join(ADAPTER_CONFIG).exists().then(|| format!("`{}`", path.display()))
        });
        let mut within: Vec<String> = within.collect();
        within.sort();
        match within.is_empty() {
            true => format!("no {ADAPTER_CONFIG} is there"),
            false => format!("no {ADAPTER_CONFIG} is there; there are adapters in {}", within.join(", ")),
        }
    };
    Err(LoraError::NoAdapterFiles { dir: dir.to_path_buf(), problem })
}

/// The file of an adapter's tensors.
fn weights_in(dir: &Path) -> Result<PathBuf, LoraError> {
    let path = dir.join(ADAPTER_WEIGHTS);
    if path.exists() {
        return Ok(path);
    }
    let pickled = std::fs::read_dir(dir).map_err(FileError::io(dir, "read"))?.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let pickle = [".bin", ".pt", ".pth"].iter().any(|ending| name.ends_with(ending));
        (pickle && name.starts_with("adapter")).then_some(name)
    });
    let problem = match pickled.min() {
        Some(name) => format!(
            "the adapter's tensors are in `{name}`, a Python pickle, which is not read; convert it with \
             safetensors.torch.save_file(torch.load(\"{name}\", weights_only=True), \"{ADAPTER_WEIGHTS}\")"
        ),
        None => format!("no {ADAPTER_WEIGHTS} beside {ADAPTER_CONFIG}"),
    };
    Err(LoraError::NoAdapterFiles { dir: dir.to_path_buf(), problem })
}

/// Puts the adapter's copy in the place of a module that was trained whole.
fn take_whole(
    path: &str,
    module: ModuleMut<'_>,
    tensors: &mut Tensors,
    device: &Device,
) -> Result<(), LoraError> {
    match module {
        ModuleMut::Linear(linear) => {
            let shape = [linear.out_features(), linear.in_features()];
            let weight = Param::from_tensor(tensors.take(path, Role::Weight, shape, device)?);
            let bias = match base_bias(&linear.base) {
                Some(_) => Some(Param::from_tensor(tensors.take(path, Role::Bias, [shape[0]], device)?)),
                None => None,
            };
            linear.replace_base(BaseLinear::Dense(DenseLinear::from_params(weight, bias)));
        }
        ModuleMut::Embedding(embedding) => {
            let shape = embedding.dims();
            embedding.replace_weight(Param::from_tensor(tensors.take(path, Role::Weight, shape, device)?));
        }
        ModuleMut::Norm(weight, original) => {
            let copy = Param::from_tensor(tensors.take(path, Role::Weight, weight.dims(), device)?);
            *original = Some(std::mem::replace(weight, copy));
        }
    }
    Ok(())
}

/// Takes the weight that a file brings for the embedding or head itself, unless it is the base's;
/// returns whether it differs. Under factors it is frozen.
fn take_base(
    path: &str,
    module: ModuleMut<'_>,
    under_factors: bool,
    tensors: &mut Tensors,
    device: &Device,
) -> Result<bool, LoraError> {
    let roles = [Role::BaseWeight, Role::Weight];
    let Some(role) = roles.into_iter().find(|role| tensors.has(path, *role)) else { return Ok(false) };
    let held = match &module {
        ModuleMut::Linear(linear) => linear.base.dense_weight(),
        ModuleMut::Embedding(embedding) => embedding.dense_weight(),
        ModuleMut::Norm(..) => return Ok(false),
    };
    let brought: Tensor<2> = tensors.take(path, role, held.dims(), device)?;
    let rounded = brought.clone().cast(held.dtype());
    if rounded.into_data() == held.into_data() {
        return Ok(false);
    }
    let copy = Param::from_tensor(brought).set_require_grad(!under_factors);
    match module {
        ModuleMut::Linear(linear) => {
            let bias = base_bias(&linear.base).map(Param::from_tensor);
            linear.replace_base(BaseLinear::Dense(DenseLinear::from_params(copy, bias)));
        }
        ModuleMut::Embedding(embedding) => embedding.replace_weight(copy),
        ModuleMut::Norm(..) => {}
    }
    Ok(true)
}

/// A head that is tied to the embedding may be stored too, as the same values.
fn drop_tied_head<M: AdapterHost>(
    model: &M,
    head: &str,
    tensors: &mut Tensors,
    device: &Device,
) -> Result<(), LoraError> {
    for (_, module) in model.others() {
        if let ModuleRef::Embedding(embedding) = module {
            let held = embedding.dense_weight();
            let stored: Tensor<2> = tensors.take(head, Role::Weight, held.dims(), device)?;
            if stored.into_data() != held.into_data() {
                return Err(LoraError::TiedFactors);
            }
        }
    }
    Ok(())
}

/// Writes the model's adapter to `dir` (made if absent) so that PEFT can load it.
/// Each file appears whole or not at all; the settings come last, and those of an
/// adapter stored there before go first, so that they never stand beside weights
/// they do not belong to.
///
/// `base_model` is what PEFT will look for as `base_model_name_or_path`.
///
/// # Errors
/// When no module carries an adapter, one has another rank, scale or kind than `config`
/// gives, or a file cannot be written.
pub fn save_peft<M: AdapterHost>(
    model: &M,
    config: &LoraConfig,
    base_model: Option<&str>,
    dir: &Path,
) -> Result<(), LoraError> {
    let adapted: BTreeMap<String, ModuleRef<'_>> =
        modules(model).into_iter().filter(|(_, module)| module.is_adapted()).collect();
    if adapted.is_empty() {
        return Err(LoraError::NoAdapter { action: "save" });
    }
    check_settings(config, &adapted)?;
    std::fs::create_dir_all(dir).map_err(FileError::io(dir, "create"))?;
    let weights_file = dir.join(ADAPTER_WEIGHTS);
    let weights = staged(&weights_file, &weights::write(&weights_file, &adapted)?)?;
    let linears = model.linear_paths();
    let factored: Vec<String> = linears
        .into_iter()
        .filter(
            |path| matches!(adapted.get(path), Some(ModuleRef::Linear(linear)) if linear.adapter.is_some()),
        )
        .collect();
    let config_file = dir.join(ADAPTER_CONFIG);
    let settings = staged(&config_file, config::write(config, &factored, base_model).as_bytes())?;
    match std::fs::remove_file(&config_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(FileError::io(&config_file, "replace")(error).into());
        }
        _ => {}
    }
    weights.finish()?;
    Ok(settings.finish()?)
}

/// A file that lacks only its name: a full disk shows before anything old goes.
fn staged(path: &Path, bytes: &[u8]) -> Result<WholeFile, LoraError> {
    let mut file = WholeFile::create(path)?;
    file.write_all(bytes).and_then(|()| file.flush()).map_err(FileError::io(path, "write"))?;
    Ok(file)
}

/// A file whose settings give another adapter could not be loaded, or would load as another update.
fn check_settings(config: &LoraConfig, modules: &BTreeMap<String, ModuleRef<'_>>) -> Result<(), LoraError> {
    for (layer, module) in modules {
        let (adapter, saved) = match module {
            ModuleRef::Linear(linear) => (linear.adapter.as_ref(), linear.original.is_some()),
            ModuleRef::Embedding(embedding) => (embedding.adapter.as_ref(), embedding.original.is_some()),
            ModuleRef::Norm(_, original) => (None, original.is_some()),
        };
        let given = config.layer(layer)?;
        let (setting, found, given) = match adapter {
            None if saved && !config.saves(layer) => {
                ("modules_to_save", "a copy trained whole".to_string(), "none".to_string())
            }
            None => continue,
            Some(a) if a.r() != given.r => ("r", a.r().to_string(), given.r.to_string()),
            Some(a) if a.scale() != given.scale => ("scale", a.scale().to_string(), given.scale.to_string()),
            Some(a) if a.dora.is_some() != config.use_dora => {
                ("use_dora", a.dora.is_some().to_string(), config.use_dora.to_string())
            }
            Some(a) if a.lora_bias.is_some() != config.lora_bias => {
                ("lora_bias", a.lora_bias.is_some().to_string(), config.lora_bias.to_string())
            }
            Some(_) => continue,
        };
        return Err(LoraError::OtherSettings { layer: layer.clone(), setting, found, given });
    }
    Ok(())
}
