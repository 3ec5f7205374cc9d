//! A model's modules as adapters see them, whatever the model is.

use std::collections::HashMap;

use burn::module::Param;
use burn::tensor::Tensor;

use crate::embedding::Embedding;
use crate::error::LoraError;
use crate::linear::LoraLinear;

/// A model whose linear layers can carry adapters.
///
/// The paths are the names PEFT knows the modules by (Hugging Face module
/// paths), unique and in the same order in both methods of a pair.
pub trait AdapterHost {
    /// The layers and their paths. The head is not among them.
    fn linears(&self) -> Vec<(String, &LoraLinear)>;
    /// The layers, to be changed.
    fn linears_mut(&mut self) -> Vec<(String, &mut LoraLinear)>;

    /// What an adapter may change besides: embedding, head, norms.
    fn others(&self) -> Vec<(String, ModuleRef<'_>)> {
        Vec::new()
    }
    /// As [`AdapterHost::others`], to be changed.
    fn others_mut(&mut self) -> Vec<(String, ModuleMut<'_>)> {
        Vec::new()
    }

    /// Paths of the embedding and of a head that shares its weight and is not among the others for
    /// that reason.
    fn tied(&self) -> Option<Tied> {
        None
    }
    /// Gives such a head a weight of its own, for the time being the same; it is among the others
    /// from then on.
    fn untie(&mut self) {}

    /// The paths of [`AdapterHost::linears`] alone.
    fn linear_paths(&self) -> Vec<String> {
        self.linears().into_iter().map(|(path, _)| path).collect()
    }

    /// Whether any module carries an adapter or a copy trained whole.
    fn has_adapter(&self) -> bool {
        modules(self).into_iter().any(|(_, module)| module.is_adapted())
    }
}

/// An embedding and a head of one weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tied {
    /// Path of the embedding.
    pub embedding: String,
    /// Path of the head.
    pub head: String,
}

/// A module that an adapter may change.
#[derive(Clone, Copy, Debug)]
pub enum ModuleRef<'a> {
    /// A linear layer.
    Linear(&'a LoraLinear),
    /// A token embedding.
    Embedding(&'a Embedding),
    /// The scale of a norm, and what it was before a copy took its place.
    Norm(&'a Param<Tensor<1>>, &'a Option<Param<Tensor<1>>>),
}

/// As [`ModuleRef`], to be changed.
#[derive(Debug)]
pub enum ModuleMut<'a> {
    /// A linear layer.
    Linear(&'a mut LoraLinear),
    /// A token embedding.
    Embedding(&'a mut Embedding),
    /// The scale of a norm, and what it was before a copy took its place.
    Norm(&'a mut Param<Tensor<1>>, &'a mut Option<Param<Tensor<1>>>),
}

impl ModuleRef<'_> {
    /// Whether an adapter changes it.
    pub fn is_adapted(&self) -> bool {
        match self {
            Self::Linear(linear) => linear.is_adapted(),
            Self::Embedding(embedding) => embedding.is_adapted(),
            Self::Norm(_, original) => original.is_some(),
        }
    }

    pub(crate) fn to_part(self) -> Part {
        match self {
            Self::Linear(linear) => Part::Linear(Box::new(linear.clone())),
            Self::Embedding(embedding) => Part::Embedding(Box::new(embedding.clone())),
            Self::Norm(weight, original) => Part::Norm(weight.clone(), original.clone()),
        }
    }
}

/// A module by itself; it shares storage with the one it was taken from.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Linear(Box<LoraLinear>),
    Embedding(Box<Embedding>),
    Norm(Param<Tensor<1>>, Option<Param<Tensor<1>>>),
}

impl Part {
    /// The part as it is without its adapter.
    pub(crate) fn stripped(&self) -> Self {
        match self {
            Self::Linear(linear) => Self::Linear(Box::new(linear.stripped())),
            Self::Embedding(embedding) => Self::Embedding(Box::new(embedding.stripped())),
            Self::Norm(weight, original) => Self::Norm(original.as_ref().unwrap_or(weight).clone(), None),
        }
    }
}

impl ModuleMut<'_> {
    /// Puts `part`, which is of the same kind, in the module's place.
    pub(crate) fn set(self, part: Part) {
        match (self, part) {
            (Self::Linear(place), Part::Linear(linear)) => *place = *linear,
            (Self::Embedding(place), Part::Embedding(embedding)) => *place = *embedding,
            (Self::Norm(weight, original), Part::Norm(new, kept)) => {
                *weight = new;
                *original = kept;
            }
            // Parts come from the modules of their path, whose kind never changes.
            (module, part) => unreachable!("{module:?} is given {part:?}"),
        }
    }
}

/// Every module that an adapter may change, the linear layers first.
pub(crate) fn modules<M: AdapterHost + ?Sized>(model: &M) -> Vec<(String, ModuleRef<'_>)> {
    let linears = model.linears().into_iter().map(|(path, linear)| (path, ModuleRef::Linear(linear)));
    linears.chain(model.others()).collect()
}

/// Calls `change` on every module that an adapter may change, the linear layers first.
pub(crate) fn for_each_mut<M: AdapterHost>(
    model: &mut M,
    mut change: impl FnMut(&str, ModuleMut<'_>) -> Result<(), LoraError>,
) -> Result<(), LoraError> {
    for (path, linear) in model.linears_mut() {
        change(&path, ModuleMut::Linear(linear))?;
    }
    for (path, other) in model.others_mut() {
        change(&path, other)?;
    }
    Ok(())
}

/// Puts parts in the places they were taken from.
pub(crate) fn put<M: AdapterHost>(model: &mut M, parts: Vec<(String, Part)>) {
    let mut parts: HashMap<String, Part> = parts.into_iter().collect();
    for (path, linear) in model.linears_mut() {
        if let Some(part) = parts.remove(&path) {
            ModuleMut::Linear(linear).set(part);
        }
    }
    for (path, other) in model.others_mut() {
        if let Some(part) = parts.remove(&path) {
            other.set(part);
        }
    }
}
