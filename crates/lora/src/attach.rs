//! Putting fresh adapters on a model, and taking adapters off.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor};
use camelid_quant::{BaseLinear, DenseLinear};

use crate::adapter::LoraAdapter;
use crate::config::LoraConfig;
use crate::error::LoraError;
use crate::host::{AdapterHost, ModuleMut, ModuleRef, for_each_mut, modules, put};
use crate::targets::{Choice, last_names};

/// Freezes the whole model and puts a fresh, trainable adapter on every chosen
/// layer, and a trainable copy in the place of every module that is to be saved whole. The same
/// `seed` gives the same bits whatever else is attached.
///
/// # Errors
/// When a setting is out of range, a target or a module to save matches nothing, or a chosen module
/// already carries an adapter.
pub fn attach<M: Module + AdapterHost>(
    model: M,
    config: &LoraConfig,
    seed: u64,
    device: &Device,
) -> Result<M, LoraError> {
    config.check()?;
    let mut model = model.no_grad();
    let places = Places::of(&mut model, config, |_| true)?;
    if let Some(name) = places.unmatched.first() {
        return Err(LoraError::NoMatch { target: name.clone(), available: places.available.join(", ") });
    }
    if let Some(name) = places.unmatched_saves.first() {
        return Err(LoraError::NothingToSave { name: name.clone() });
    }
    for_each_mut(&mut model, |path, module| {
        if places.saved.iter().any(|saved| saved == path) {
            return train_whole(path, module);
        }
        match module {
            ModuleMut::Linear(linear) if places.gets_factors(path) => {
                linear.adapter = Some(LoraAdapter::init(config, &linear.base, seed, path, device)?);
            }
            ModuleMut::Embedding(embedding) if places.gets_factors(path) => {
                embedding.adapter = Some(embedding.fresh_adapter(config, seed, path, device)?);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(model)
}

/// Takes every adapter off the model and returns how many modules it changed. The base
/// stays frozen.
pub fn detach<M: AdapterHost>(model: &mut M) -> usize {
    let stripped: Vec<_> = modules(model)
        .into_iter()
        .filter(|(_, module)| module.is_adapted())
        .map(|(path, module)| (path, module.to_part().stripped()))
        .collect();
    let count = stripped.len();
    put(model, stripped);
    count
}

/// The places in a model that the settings of an adapter mean.
pub(crate) struct Places {
    /// Modules that get factors.
    pub factors: Vec<String>,
    /// Modules that the settings choose and that there are no factors for.
    pub without_factors: Vec<String>,
    /// Modules that are trained whole.
    pub saved: Vec<String>,
    /// The linear layers, to tell the head from them.
    pub linears: Vec<String>,
    /// Targets that no module bears.
    pub unmatched: Vec<String>,
    /// Names of `modules_to_save` that no module bears.
    pub unmatched_saves: Vec<String>,
    /// Names of the modules that factors can be put on.
    pub available: Vec<String>,
}

impl Places {
    /// Finds them, and gives a tied head a weight of its own where the adapter makes embedding and
    /// head differ. `given` says for which of the chosen modules there are factors.
    ///
    /// # Errors
    /// When nothing is chosen, something that is has an adapter already, or cannot have such a one.
    pub(crate) fn of<M: AdapterHost>(
        model: &mut M,
        config: &LoraConfig,
        given: impl Fn(&str) -> bool,
    ) -> Result<Self, LoraError> {
        let linears = model.linear_paths();
        let tied = model.tied();
        let mut others: Vec<String> = model
            .others()
            .into_iter()
            .filter(|(_, module)| !matches!(module, ModuleRef::Norm(..)))
            .map(|(path, _)| path)
            .collect();
        others.extend(tied.iter().map(|tied| tied.head.clone()));
        let Choice { paths: chosen, unmatched } = config.choose(&linears, &others)?;
        let (factors, without_factors): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|path| given(path));

        let both_saved = match tied {
            Some(tied) => {
                let both = [&tied.embedding, &tied.head];
                let adapted = both.iter().any(|path| factors.contains(path));
                let saved = both.iter().any(|path| config.saves(path));
                if config.ensure_weight_tying && adapted {
                    return Err(LoraError::TiedFactors);
                }
                if !config.ensure_weight_tying && (adapted || saved) {
                    model.untie();
                }
                (config.ensure_weight_tying && saved).then_some(tied.embedding)
            }
            None => None,
        };

        let all = modules(model);
        for (path, module) in &all {
            let chosen = factors.contains(path);
            if module.is_adapted() && (chosen || config.saves(path)) {
                return Err(LoraError::AlreadyAttached { layer: path.clone() });
            }
            let lacks = match module {
                ModuleRef::Embedding(_) if chosen && config.use_dora => Some("use_dora"),
                ModuleRef::Embedding(_) if chosen && config.lora_bias => Some("lora_bias"),
                // The loss multiplies with the head's weight alone.
                ModuleRef::Linear(_) if chosen && config.lora_bias && !linears.contains(path) => {
                    Some("lora_bias")
                }
                _ => None,
            };
            if let Some(setting) = lacks {
                return Err(LoraError::NotOn { setting, layer: path.clone() });
            }
        }
        let paths: Vec<String> = all.into_iter().map(|(path, _)| path).collect();
        let is_saved = |path: &&String| config.saves(path) || both_saved.as_ref() == Some(path);
        let bears = |name: &String| {
            let alone = LoraConfig { modules_to_save: vec![name.clone()], ..LoraConfig::default() };
            paths.iter().chain(&others).any(|path| alone.saves(path))
        };
        Ok(Self {
            saved: paths.iter().filter(is_saved).cloned().collect(),
            unmatched_saves: config.modules_to_save.iter().filter(|name| !bears(name)).cloned().collect(),
            factors,
            without_factors,
            unmatched,
            available: last_names(&[&linears[..], &others[..]].concat()),
            linears,
        })
    }

    pub(crate) fn gets_factors(&self, path: &str) -> bool {
        self.factors.iter().any(|chosen| chosen == path)
    }
}

/// Puts a trainable copy in the module's place.
fn train_whole(path: &str, module: ModuleMut<'_>) -> Result<(), LoraError> {
    match module {
        ModuleMut::Linear(linear) => {
            let BaseLinear::Dense(dense) = &linear.base else {
                return Err(LoraError::PackedToSave { layer: path.to_string() });
            };
            let bias = dense.bias.as_ref().map(|bias| trainable(bias.val()));
            let copy = DenseLinear::from_params(trainable(dense.weight.val()), bias);
            linear.replace_base(BaseLinear::Dense(copy));
        }
        ModuleMut::Embedding(embedding) => {
            if embedding.int8_table().is_some() {
                return Err(LoraError::PackedToSave { layer: path.to_string() });
            }
            embedding.replace_weight(trainable(embedding.weight.val()));
        }
        ModuleMut::Norm(weight, original) => {
            let copy = trainable(weight.val());
            *original = Some(std::mem::replace(weight, copy));
        }
    }
    Ok(())
}

/// A parameter of the same values that receives gradients: an optimizer updates `f32` only.
fn trainable<const D: usize>(values: Tensor<D>) -> Param<Tensor<D>> {
    Param::from_tensor(values.detach().cast(DType::F32))
}
