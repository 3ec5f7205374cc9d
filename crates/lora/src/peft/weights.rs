//! `adapter_model.safetensors`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor, TensorData};
use camelid_files::Input;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};

use super::names::{Meaning, Place, Role, adapter, meaning, peft_name};
use super::note::PeftNote;
use crate::adapter::{Factors, LoraAdapter};
use crate::error::LoraError;
use crate::host::{ModuleRef, Part};
use crate::linear::LoraLinear;

/// The tensors of an adapter file, handed out module by module.
pub(super) struct Tensors {
    file: PathBuf,
    tensors: BTreeMap<Place, StoredTensor>,
    /// Which adapter was taken of several.
    pub(super) note: Option<PeftNote>,
}

struct StoredTensor {
    /// As the file has it.
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

pub(super) fn read(path: &Path) -> Result<Tensors, LoraError> {
    let bytes = Input::open(path)?.bytes()?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|cause| LoraError::Safetensors { path: path.to_path_buf(), cause })?;
    let mut tensors: BTreeMap<Place, StoredTensor> = BTreeMap::new();
    let adapters: BTreeSet<&str> = file.names().into_iter().filter_map(|name| adapter(name)).collect();
    let several = adapters.len() > 1;
    if several && !adapters.contains("default") {
        let names = adapters.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let problem = format!("holds several adapters, {names}, and none called `default`; keep one");
        return Err(LoraError::NoAdapterFiles { dir: path.to_path_buf(), problem });
    }
    let left = adapters.iter().filter(|name| **name != "default").map(|name| (*name).to_owned()).collect();
    let note = several.then(|| PeftNote::OneOfSeveral { taken: "default".to_owned(), left });
    for (name, view) in file.iter() {
        if several && adapter(name).is_some_and(|adapter| adapter != "default") {
            continue;
        }
        let place = match meaning(name) {
            Meaning::Of(place) => place,
            Meaning::CopyOfBase => continue,
            Meaning::Unknown => {
                let problem = "is no tensor of a LoRA adapter (lora_A, lora_B, lora_embedding_A, \
                               lora_embedding_B, lora_magnitude_vector, weight, bias)";
                return Err(tensor_error(path, name, problem));
            }
        };
        let values = floats(&view).ok_or_else(|| {
            tensor_error(path, name, &format!("has type {:?}; expected F32, F16 or BF16", view.dtype()))
        })?;
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(tensor_error(path, name, &format!("is not finite at index {i}")));
        }
        let tensor = StoredTensor { name: name.to_string(), shape: view.shape().to_vec(), values };
        if let Some(other) = tensors.insert(place, tensor) {
            let problem = format!("and `{}` mean the same place; one adapter is expected", other.name);
            return Err(tensor_error(path, name, &problem));
        }
    }
    Ok(Tensors { file: path.to_path_buf(), tensors, note })
}

fn tensor_error(path: &Path, name: &str, problem: &str) -> LoraError {
    LoraError::Tensor { path: path.to_path_buf(), name: name.to_string(), problem: problem.to_string() }
}

fn floats(view: &TensorView) -> Option<Vec<f32>> {
    let data = view.data();
    let pairs = || data.as_chunks::<2>().0.iter();
    match view.dtype() {
        Dtype::F32 => {
            let words = data.as_chunks::<4>().0;
            Some(words.iter().map(|b| f32::from_le_bytes(*b)).collect())
        }
        Dtype::F16 => Some(pairs().map(|b| f16::from_le_bytes(*b).to_f32()).collect()),
        Dtype::BF16 => Some(pairs().map(|b| bf16::from_le_bytes(*b).to_f32()).collect()),
        _ => None,
    }
}

impl Tensors {
    /// Whether there is any factor of the module at `path`.
    pub(super) fn has_factors(&self, path: &str) -> bool {
        let module = Place::of(path, Role::LoraA).module;
        self.tensors.keys().any(|place| place.module == module && place.role.is_factor())
    }

    /// Whether there is this tensor of the module at `path`.
    pub(super) fn has(&self, path: &str, role: Role) -> bool {
        self.tensors.contains_key(&Place::of(path, role))
    }

    /// The factors of the linear layer at `path`: of rank `r`, with what the kind of adapter adds.
    pub(super) fn linear(
        &mut self,
        path: &str,
        linear: &LoraLinear,
        kind: Kind,
        device: &Device,
    ) -> Result<Factors, LoraError> {
        let (inputs, outputs) = (linear.in_features(), linear.out_features());
        Ok(Factors {
            a: self.take(path, Role::LoraA, [kind.r, inputs], device)?,
            b: self.take(path, Role::LoraB, [outputs, kind.r], device)?,
            bias: match kind.lora_bias {
                true => Some(self.take(path, Role::LoraBias, [outputs], device)?),
                false => None,
            },
            magnitude: match kind.dora {
                true => Some(self.magnitude(path, outputs, device)?),
                false => None,
            },
        })
    }

    /// DoRA's lengths; early versions of PEFT stored them as a row or a column.
    fn magnitude(&mut self, path: &str, outputs: usize, device: &Device) -> Result<Tensor<1>, LoraError> {
        if let Some(tensor) = self.tensors.get_mut(&Place::of(path, Role::Magnitude))
            && (tensor.shape == [outputs, 1] || tensor.shape == [1, outputs])
        {
            tensor.shape = vec![outputs];
        }
        self.take(path, Role::Magnitude, [outputs], device)
    }

    /// The tensor of this role of the module at `path`.
    pub(super) fn take<const D: usize>(
        &mut self,
        path: &str,
        role: Role,
        expected: [usize; D],
        device: &Device,
    ) -> Result<Tensor<D>, LoraError> {
        let values = self.take_values(path, role, &expected)?;
        Ok(Tensor::from_data(TensorData::new(values, expected), device))
    }

    fn take_values(&mut self, path: &str, role: Role, expected: &[usize]) -> Result<Vec<f32>, LoraError> {
        let Some(tensor) = self.tensors.remove(&Place::of(path, role)) else {
            let problem = format!("is missing; expected with shape {expected:?}");
            return Err(tensor_error(&self.file, &peft_name(path, role), &problem));
        };
        let StoredTensor { name, shape, values } = tensor;
        if shape == expected {
            return Ok(values);
        }
        // A table of another height: tokens were added, or taken away, before training.
        let along = usize::from(role == Role::EmbeddingA);
        let by_token = matches!(role, Role::Weight | Role::BaseWeight | Role::EmbeddingA | Role::LoraB);
        let resized =
            by_token && is_table(path) && shape.len() == 2 && shape[1 - along] == expected[1 - along];
        let problem = if resized {
            format!(
                "has {} rows of tokens, the base has {} (shape {shape:?}, expected {expected:?}): the vocabulary \
                 was resized before training, and the base must be resized likewise",
                shape[along], expected[along]
            )
        } else if shape.contains(&0) {
            format!(
                "is empty (shape {shape:?}, expected {expected:?}): DeepSpeed ZeRO-3 and FSDP save so when the \
                 shards were not gathered"
            )
        } else {
            format!("has shape {shape:?}, expected {expected:?}")
        };
        Err(tensor_error(&self.file, &name, &problem))
    }

    /// The tensors that found no module; PEFT ignores them.
    pub(super) fn left_out(&self, paths: &[String], chosen: &[String]) -> Vec<PeftNote> {
        let mut by_reason: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for (place, tensor) in &self.tensors {
            let among = |paths: &[String]| {
                paths.iter().any(|path| Place::of(path, place.role).module == place.module)
            };
            let why = match place.role {
                _ if !among(paths) => "for the model has no such modules",
                role if role.is_factor() && !among(chosen) => "for the settings do not choose their modules",
                Role::Magnitude => "for use_dora is off",
                Role::LoraBias => "for lora_bias is off",
                Role::BaseWeight => "for the base's own weights are used",
                _ => "for modules_to_save does not name their modules",
            };
            by_reason.entry(why).or_default().push(tensor.name.clone());
        }
        by_reason.into_iter().map(|(why, names)| PeftNote::TensorsLeftOut { names, why }).collect()
    }

    /// Some names of the file, for messages.
    pub(super) fn some_names(&self) -> String {
        let names: Vec<String> = self.tensors.values().take(2).map(|t| format!("`{}`", t.name)).collect();
        match names.len() {
            0 => "no tensor".to_string(),
            _ => format!("{} tensors such as {}", self.tensors.len(), names.join(" and ")),
        }
    }
}

/// Whether the module's weight has a row per token.
fn is_table(path: &str) -> bool {
    matches!(path.rsplit('.').next(), Some("embed_tokens" | "lm_head"))
}

/// What the factors of one layer are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Rank.
    pub r: usize,
    /// Whether there are DoRA's lengths.
    pub dora: bool,
    /// Whether `B` has a bias.
    pub lora_bias: bool,
}

/// The bytes of a file with every tensor that the adapter adds to `modules`.
pub(super) fn write(path: &Path, modules: &BTreeMap<String, ModuleRef<'_>>) -> Result<Vec<u8>, LoraError> {
    let mut tensors = Vec::new();
    for (layer, module) in modules {
        let mut add = |role, tensor: Stored| tensors.push((peft_name(layer, role), tensor));
        match module.to_part() {
            Part::Linear(linear) => match (&linear.adapter, &linear.base, &linear.original) {
                (Some(adapter), base, original) => {
                    add_factors(adapter, [Role::LoraA, Role::LoraB], &mut add);
                    if original.is_some() {
                        add(Role::BaseWeight, Stored::of(base.dense_weight()));
                    }
                }
                (None, base, Some(_)) => {
                    add(Role::Weight, Stored::of(base.dense_weight()));
                    if let Some(bias) = crate::adapter::base_bias(base) {
                        add(Role::Bias, Stored::of(bias));
                    }
                }
                (None, _, None) => {}
            },
            Part::Embedding(embedding) => match (&embedding.adapter, &embedding.original) {
                (Some(adapter), original) => {
                    add_factors(adapter, [Role::EmbeddingA, Role::EmbeddingB], &mut add);
                    if original.is_some() {
                        add(Role::BaseWeight, Stored::of(embedding.weight.val()));
                    }
                }
                (None, Some(_)) => add(Role::Weight, Stored::of(embedding.weight.val())),
                (None, None) => {}
            },
            Part::Norm(weight, Some(_)) => add(Role::Weight, Stored::of(weight.val())),
            Part::Norm(_, None) => {}
        }
    }
    // transformers refuses a file without this entry.
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize(tensors, Some(metadata))
        .map_err(|cause| LoraError::Safetensors { path: path.to_path_buf(), cause })
}

fn add_factors(adapter: &LoraAdapter, roles: [Role; 2], add: &mut impl FnMut(Role, Stored)) {
    add(roles[0], Stored::of(adapter.lora_a.val()));
    add(roles[1], Stored::of(adapter.lora_b.val()));
    if let Some(bias) = &adapter.lora_bias {
        add(Role::LoraBias, Stored::of(bias.val()));
    }
    if let Some(dora) = &adapter.dora {
        add(Role::Magnitude, Stored::of(dora.magnitude.val()));
    }
}

/// A tensor as it lies in the file: little-endian `f32`.
struct Stored {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn of<const D: usize>(tensor: Tensor<D>) -> Self {
        let data = tensor.cast(DType::F32).into_data();
        Self { shape: data.shape().to_vec(), bytes: data.iter::<f32>().flat_map(f32::to_le_bytes).collect() }
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
