//! A linear layer with a low-rank update.

use burn::module::Module;
use burn::tensor::Tensor;
use camelid_kernels::ComputeType;
use camelid_quant::BaseLinear;

use crate::adapter::LoraAdapter;
use crate::context::ForwardContext;

/// `y = W·x + b + scale · B·A·drop(x)` (Hu et al. 2021, equation 3), with DoRA
/// `y = m ⊙ (W + scale·B·A)·x / ‖W + scale·B·A‖ + b`.
///
/// Without an adapter it is its base. With one, the base is meant to be frozen
/// ([`attach`](crate::attach) does that) and only the adapter trains.
#[derive(Module, Debug)]
pub struct LoraLinear {
    /// The layer as it was loaded: dense or packed to 4 bits. Trained whole (`modules_to_save`) it
    /// is the copy that trains.
    pub base: BaseLinear,
    /// What `base` was before it was replaced by a copy that an adapter trains whole.
    pub original: Option<BaseLinear>,
    /// The update, when there is one.
    pub adapter: Option<LoraAdapter>,
    #[module(skip)]
    compute_type: ComputeType,
}

impl LoraLinear {
    /// A layer without an adapter. Its place in the model, which decides its share of every random
    /// seed, is the one that [`AdapterHost`](crate::AdapterHost) lists it under.
    pub fn new(base: BaseLinear) -> Self {
        Self { base, original: None, adapter: None, compute_type: ComputeType::F32 }
    }

    /// Chooses how the operands of the products are rounded, the base's and the
    /// adapter's; f32 unless set.
    pub fn set_compute_type(&mut self, compute_type: ComputeType) {
        self.base.set_compute_type(compute_type);
        if let Some(original) = &mut self.original {
            original.set_compute_type(compute_type);
        }
        self.compute_type = compute_type;
    }

    /// Applies the layer.
    ///
    /// # Shapes
    /// - `x`: `[.., in_features]`
    /// - result: `[.., out_features]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>, ctx: &ForwardContext) -> Tensor<D> {
        match &self.adapter {
            Some(adapter) if ctx.adapters => adapter.forward(&self.base, x, ctx, self.compute_type),
            _ => self.base_in(ctx).forward(x),
        }
    }

    /// What [`LoraLinear::forward`] gives, where the output of the base for `x` is known: many
    /// adapters can then share one product with the base's weight.
    ///
    /// # Shapes
    /// - `base_output`: `[.., out_features]`
    /// - `x`: `[.., in_features]`
    /// - result: `[.., out_features]`
    pub fn forward_onto<const D: usize>(
        &self,
        base_output: Tensor<D>,
        x: Tensor<D>,
        ctx: &ForwardContext,
    ) -> Tensor<D> {
        match &self.adapter {
            Some(adapter) if ctx.adapters => adapter.onto(base_output, &self.base, x, ctx, self.compute_type),
            _ => base_output,
        }
    }

    /// The weight that [`LoraLinear::forward`] multiplies with, update included: dense,
    /// `[out_features, in_features]`, differentiable in the adapter. A layer without one gives its
    /// dense base as it is held, half precision too.
    pub fn weight(&self, ctx: &ForwardContext) -> Tensor<2> {
        match (&self.adapter, self.base_in(ctx)) {
            (Some(adapter), base) if ctx.adapters => adapter.weight(base),
            (_, BaseLinear::Dense(dense)) => dense.weight.val(),
            (_, packed) => packed.dense_weight(),
        }
    }

    /// Whether an adapter changes this layer.
    pub fn is_adapted(&self) -> bool {
        self.adapter.is_some() || self.original.is_some()
    }

    /// Width of the input.
    pub fn in_features(&self) -> usize {
        self.base.in_features()
    }

    /// Width of the output.
    pub fn out_features(&self) -> usize {
        self.base.out_features()
    }

    fn base_in(&self, ctx: &ForwardContext) -> &BaseLinear {
        self.original.as_ref().filter(|_| !ctx.adapters).unwrap_or(&self.base)
    }

    /// The layer as it is without its adapter.
    pub(crate) fn stripped(&self) -> Self {
        let base = self.original.as_ref().unwrap_or(&self.base).clone();
        Self { base, original: None, adapter: None, compute_type: self.compute_type }
    }

    /// The layer over another base, without an adapter.
    pub(crate) fn over(&self, mut base: BaseLinear) -> Self {
        base.set_compute_type(self.compute_type);
        Self { base, original: None, adapter: None, compute_type: self.compute_type }
    }

    /// Puts a copy in the base's place, which is kept.
    pub(crate) fn replace_base(&mut self, mut copy: BaseLinear) {
        copy.set_compute_type(self.compute_type);
        let base = std::mem::replace(&mut self.base, copy);
        self.original.get_or_insert(base);
    }
}
