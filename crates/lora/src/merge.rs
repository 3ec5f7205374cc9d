//! Folding adapters into their base, and taking them out again, with proof.

use std::fmt;

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor, TensorData};
use camelid_quant::{
    BaseLinear, DenseLinear, Int8Linear, Int8Matrix, QuantConfig, QuantLinear, QuantizedTensor,
};

use crate::adapter::base_bias;
use crate::context::ForwardContext;
use crate::embedding::Embedding;
use crate::error::LoraError;
use crate::host::{AdapterHost, ModuleRef, Part, modules, put};
use crate::linear::LoraLinear;

/// What the merged layers are stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeInto {
    /// Dense `f32`, whatever the base was: nothing of the update is lost.
    Dense,
    /// The format of each base: a 4-bit base is dequantised with the very
    /// (double-quantised) absmax that training saw, the update added, and the
    /// sum quantised again; a half-precision base is rounded again.
    BaseFormat,
}

/// How far two sets of logits are apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogitDifference {
    /// Largest absolute difference.
    pub max_abs: f32,
    /// Root of the mean squared difference.
    pub rms: f32,
}

impl LogitDifference {
    fn between(before: &[f32], after: &[f32]) -> Result<Self, LoraError> {
        if before.len() != after.len() {
            return Err(LoraError::Logits { before: before.len(), after: after.len() });
        }
        let mut max_abs = 0.0_f32;
        let mut squares = 0.0_f64;
        for (a, b) in before.iter().zip(after) {
            let d = (a - b).abs();
            // `max` alone would drop a NaN; wherever one is, it must show.
            max_abs = if max_abs.is_nan() || d.is_nan() { f32::NAN } else { max_abs.max(d) };
            squares += f64::from(d) * f64::from(d);
        }
        Ok(Self { max_abs, rms: (squares / before.len().max(1) as f64).sqrt() as f32 })
    }
}

/// What merging did to one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerMerge {
    /// The layer's path.
    pub path: String,
    /// Frobenius norm of the update: `scale · B·A`, with DoRA what the new lengths add to it, or a
    /// trained copy less what it replaced.
    pub update_norm: f64,
    /// Share of the update that did not arrive in the stored weight: one minus
    /// the length of the applied change along the update, over the update's
    /// length. 0: all arrived; 1: erased.
    pub lost_share: f64,
    /// Norm of (applied change − update) over the update's norm: loss and
    /// rounding noise together.
    pub relative_error: f64,
}

impl LayerMerge {
    /// Above this lost share the update counts as erased.
    pub const ERASED: f64 = 0.5;

    /// Whether storing the merged weight would erase the update. A share that is
    /// not a number, because the update is not, counts as erased.
    pub fn erased(&self) -> bool {
        self.lost_share.is_nan() || self.lost_share > Self::ERASED
    }
}

impl fmt::Display for LayerMerge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {:.0} % of the update lost in storing the merged weight (relative error {:.2})",
            self.path,
            100.0 * self.lost_share,
            self.relative_error
        )
    }
}

/// What a merge did.
#[derive(Clone, Debug, PartialEq)]
pub struct MergeReport {
    /// Layer by layer, in the model's order.
    pub layers: Vec<LayerMerge>,
    /// Logits with the adapter beside the base against logits without it: what
    /// the adapter is worth.
    pub adapter_effect: LogitDifference,
    /// Logits before the merge against logits after it: what the merge cost.
    pub merge_error: LogitDifference,
}

impl MergeReport {
    /// The layers whose update would be erased; empty when all is well. Each
    /// prints as one line of warning.
    pub fn warnings(&self) -> impl Iterator<Item = &LayerMerge> {
        self.layers.iter().filter(|l| l.erased())
    }
}

/// What a merge replaced, to put it back bit for bit. It shares storage with
/// what it replaced; dropping it gives that memory up.
#[derive(Clone, Debug)]
pub struct MergeUndo {
    originals: Vec<(String, Part)>,
    logits: Vec<f32>,
}

/// What a module computes with when its adapter is folded in, densely.
#[derive(Clone, Debug)]
pub struct Folded {
    /// Shape of the weight: `[out_features, in_features]`, `[vocab_size, hidden_size]`, or `[hidden_size]` of a norm.
    pub shape: Vec<usize>,
    /// The weight, row-major.
    pub weight: Vec<f32>,
    /// The bias of a linear layer that has one.
    pub bias: Option<Vec<f32>>,
}

/// The weight and bias of one module with its adapter, if it has one, folded in; the module stays as it
/// is. It is what [`merge`] into [`MergeInto::Dense`] would put in its place, so that a model can be
/// written merged while one module at a time is held densely.
///
/// # Errors
/// When the weight is not finite, or the adapter's bias finds none in its base; `path` names the module.
pub fn fold(path: &str, module: ModuleRef<'_>) -> Result<Folded, LoraError> {
    let (shape, weight, bias) = match module {
        ModuleRef::Linear(linear) => {
            let weight = folded_linear(linear);
            (weight.dims().to_vec(), values(weight), merged_bias(path, linear)?.map(values))
        }
        ModuleRef::Embedding(embedding) => {
            let weight = folded_embedding(embedding);
            (weight.dims().to_vec(), values(weight), None)
        }
        ModuleRef::Norm(weight, _) => (weight.dims().to_vec(), values(weight.val()), None),
    };
    check_finite(path, &weight)?;
    Ok(Folded { shape, weight, bias })
}

fn folded_linear(linear: &LoraLinear) -> Tensor<2> {
    let now = linear.base.dense_weight().without_autodiff();
    match &linear.adapter {
        Some(adapter) => now + adapter.update(&linear.base),
        None => now,
    }
}

fn folded_embedding(embedding: &Embedding) -> Tensor<2> {
    let now = embedding.dense_weight().without_autodiff().cast(DType::F32);
    match &embedding.adapter {
        Some(adapter) => now + adapter.delta().transpose(),
        None => now,
    }
}

/// Folds every adapter of the model into its base and takes it off; copies of modules that were
/// trained whole stay in the place of what they replaced.
///
/// `logits` runs the model on a fixed input of the caller's choice, without
/// dropout, and returns the logits in any fixed order. It is called three
/// times: before, with the adapters off, and after.
///
/// # Errors
/// When no module carries an adapter, a merged weight is not finite in the type it
/// is stored as, an adapter's bias finds none in its base, or `logits` changes its length. The
/// model is unchanged then.
pub fn merge<M: AdapterHost>(
    model: &mut M,
    into: MergeInto,
    mut logits: impl FnMut(&M) -> Vec<f32>,
) -> Result<(MergeReport, MergeUndo), LoraError> {
    // First everything that can fail, on copies that share storage.
    let (mut originals, mut stripped, mut merged) = (Vec::new(), Vec::new(), Vec::new());
    let mut layers = Vec::new();
    for (path, module) in modules(model) {
        if module.is_adapted() {
            let (part, report) = merge_module(&path, module, into)?;
            let original = module.to_part();
            stripped.push((path.clone(), original.stripped()));
            originals.push((path.clone(), original));
            merged.push((path, part));
            layers.push(report);
        }
    }
    if merged.is_empty() {
        return Err(LoraError::NoAdapter { action: "merge" });
    }

    let before = logits(model);
    put(model, stripped);
    let without = logits(model);
    put(model, merged);
    let after = logits(model);

    let compared = LogitDifference::between(&before, &without)
        .and_then(|effect| Ok((effect, LogitDifference::between(&before, &after)?)));
    match compared {
        Ok((adapter_effect, merge_error)) => {
            Ok((MergeReport { layers, adapter_effect, merge_error }, MergeUndo { originals, logits: before }))
        }
        Err(e) => {
            put(model, originals);
            Err(e)
        }
    }
}

/// Puts base and adapters back as they were before [`merge`], and returns how
/// far the logits now are from those before the merge: zero, unless the model
/// was changed otherwise in between.
///
/// # Errors
/// When the model lacks a layer that was merged, or `logits` changes its length.
pub fn unmerge<M: AdapterHost>(
    model: &mut M,
    undo: MergeUndo,
    mut logits: impl FnMut(&M) -> Vec<f32>,
) -> Result<LogitDifference, LoraError> {
    let paths: Vec<String> = modules(model).into_iter().map(|(path, _)| path).collect();
    if let Some((layer, _)) = undo.originals.iter().find(|(path, _)| !paths.contains(path)) {
        return Err(LoraError::NotMerged { layer: layer.clone() });
    }
    put(model, undo.originals);
    LogitDifference::between(&undo.logits, &logits(model))
}

/// A module with its adapter folded in, and what that did to it.
fn merge_module(path: &str, module: ModuleRef<'_>, into: MergeInto) -> Result<(Part, LayerMerge), LoraError> {
    match module {
        ModuleRef::Linear(linear) => {
            let (linear, report) = merge_linear(path, linear, into)?;
            Ok((Part::Linear(Box::new(linear)), report))
        }
        ModuleRef::Embedding(embedding) => {
            let (embedding, report) = merge_embedding(path, embedding, into)?;
            Ok((Part::Embedding(Box::new(embedding)), report))
        }
        ModuleRef::Norm(weight, original) => {
            let new = values(weight.val());
            check_finite(path, &new)?;
            let old = values(original.as_ref().unwrap_or(weight).val());
            let update = difference(&new, &old);
            Ok((Part::Norm(settled(weight.val()), None), compare(path, &update, &update)))
        }
    }
}

fn merge_linear(
    path: &str,
    linear: &LoraLinear,
    into: MergeInto,
) -> Result<(LoraLinear, LayerMerge), LoraError> {
    // What was there before the adapter came; a copy that was trained whole stands in `base`.
    let before = linear.original.as_ref().unwrap_or(&linear.base);
    let old = before.dense_weight().without_autodiff();
    let target = folded_linear(linear);
    let bias = merged_bias(path, linear)?;
    let device = target.device();
    let base = match (before, into) {
        (BaseLinear::Quant(quant), MergeInto::BaseFormat) => {
            requantise(path, quant, target.clone(), bias, &device)?
        }
        (BaseLinear::Dense(dense), MergeInto::BaseFormat) => {
            dense_base(target.clone(), bias, dense.weight.val().dtype())
        }
        (BaseLinear::Int8(_), MergeInto::BaseFormat) => {
            let matrix = Int8Matrix::quantize(path, &values(target.clone()), target.dims())?;
            BaseLinear::Int8(Int8Linear::new(matrix, bias, &device)?)
        }
        (_, MergeInto::Dense) => dense_base(target.clone(), bias, DType::F32),
    };
    let stored = base.dense_weight().without_autodiff();
    check_finite(path, &values(stored.clone()))?;
    let report = compare(path, &values(target - old.clone()), &values(stored - old));
    Ok((linear.over(base), report))
}

/// The bias of the merged layer.
fn merged_bias(path: &str, linear: &LoraLinear) -> Result<Option<Tensor<1>>, LoraError> {
    let bias = base_bias(&linear.base).map(|bias| bias.without_autodiff());
    match (bias, linear.adapter.as_ref().and_then(|adapter| adapter.bias_update())) {
        (Some(bias), Some(update)) => Ok(Some(bias + update)),
        (None, Some(_)) => Err(LoraError::NoBias { layer: path.to_string() }),
        (bias, None) => Ok(bias),
    }
}

fn merge_embedding(
    path: &str,
    embedding: &Embedding,
    into: MergeInto,
) -> Result<(Embedding, LayerMerge), LoraError> {
    // A table in blocks of integers becomes a dense one.
    let before = embedding.weight(&ForwardContext::evaluation().without_adapters()).without_autodiff();
    let dtype = match into {
        MergeInto::Dense => DType::F32,
        MergeInto::BaseFormat => before.dtype(),
    };
    let target = folded_embedding(embedding);
    let old = before.cast(DType::F32);
    let weight = settled(target.clone().cast(dtype));
    let stored = weight.val().without_autodiff().cast(DType::F32);
    check_finite(path, &values(stored.clone()))?;
    let report = compare(path, &values(target - old.clone()), &values(stored - old));
    Ok((Embedding::new(weight), report))
}

/// The update may hold NaN or infinities, and a finite sum may leave the range of
/// half precision.
fn check_finite(path: &str, stored: &[f32]) -> Result<(), LoraError> {
    match stored.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => {
            Err(LoraError::MergedNotFinite { layer: path.to_string(), index, value: stored[index] })
        }
    }
}

fn requantise(
    path: &str,
    quant: &QuantLinear,
    target: Tensor<2>,
    bias: Option<Tensor<1>>,
    device: &Device,
) -> Result<BaseLinear, LoraError> {
    let shape = target.dims();
    let spec = quant.spec();
    let config = QuantConfig {
        format: spec.code.into(),
        block_size: spec.block_size,
        double_quant: spec.nested.is_some(),
    };
    let packed = QuantizedTensor::quantize(path, &values(target), &shape, &config)?;
    Ok(BaseLinear::Quant(QuantLinear::from_quantized(packed, bias, device)?))
}

/// A frozen dense layer.
fn dense_base(weight: Tensor<2>, bias: Option<Tensor<1>>, dtype: DType) -> BaseLinear {
    BaseLinear::Dense(DenseLinear::from_params(settled(weight.cast(dtype)), bias.map(settled)))
}

/// A frozen parameter of these values.
fn settled<const D: usize>(values: Tensor<D>) -> Param<Tensor<D>> {
    Param::from_tensor(values.detach()).set_require_grad(false)
}

fn compare(path: &str, update: &[f32], applied: &[f32]) -> LayerMerge {
    let (mut along, mut squares, mut errors) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (u, a) in update.iter().zip(applied) {
        let (u, a) = (f64::from(*u), f64::from(*a));
        along += u * a;
        squares += u * u;
        errors += (a - u) * (a - u);
    }
    // A zero update (B still zero) loses nothing.
    let (lost_share, relative_error) =
        if squares == 0.0 { (0.0, 0.0) } else { (1.0 - along / squares, (errors / squares).sqrt()) };
    LayerMerge { path: path.to_string(), update_norm: squares.sqrt(), lost_share, relative_error }
}

fn difference(new: &[f32], old: &[f32]) -> Vec<f32> {
    new.iter().zip(old).map(|(new, old)| new - old).collect()
}

/// A float tensor's values in row-major order.
fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data: TensorData = tensor.cast(DType::F32).into_data();
    data.iter::<f32>().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nan_among_the_logits_shows_wherever_it_is() {
        for after in [[f32::NAN, 1.0, 2.0], [1.0, f32::NAN, 2.0], [1.0, 2.0, f32::NAN]] {
            let difference = LogitDifference::between(&[0.0; 3], &after).unwrap();
            assert!(difference.max_abs.is_nan() && difference.rms.is_nan(), "{after:?}: {difference:?}");
        }
    }

    #[test]
    fn an_update_that_is_not_a_number_counts_as_erased() {
        assert!(compare("w", &[f32::NAN, 1.0], &[0.0, 1.0]).erased());
        assert!(!compare("w", &[0.5, 1.0], &[0.5, 1.0]).erased());
    }
}
