//! A linear layer with a low-rank update.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use camelid_kernels::{ComputeType, Dropout, lora_linear_with};
use camelid_quant::BaseLinear;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::config::LoraConfig;
use crate::context::{ForwardContext, mix, site_id};

/// `y = W·x + b + scale · B·A·drop(x)` (Hu et al. 2021, equation 3).
///
/// Without an adapter it is its base. With one, the base is meant to be frozen
/// ([`attach`](crate::attach) does that) and only `A` and `B` train.
#[derive(Module, Debug)]
pub struct LoraLinear {
    /// The layer as it was loaded: dense or packed to 4 bits.
    pub base: BaseLinear,
    /// The update, when there is one.
    pub adapter: Option<LoraAdapter>,
    /// Identity of this layer in seeds: a hash of its path.
    site: u64,
    #[module(skip)]
    compute_type: ComputeType,
}

impl LoraLinear {
    /// A layer without an adapter. `path` is its full name in the model, for
    /// example `model.layers.0.self_attn.q_proj`; it decides the layer's share
    /// of every random seed.
    pub fn new(base: BaseLinear, path: &str) -> Self {
        Self { base, adapter: None, site: site_id(path), compute_type: ComputeType::F32 }
    }

    /// Chooses how the operands of the products are rounded, the base's and the
    /// adapter's; f32 unless set.
    pub fn set_compute_type(&mut self, compute_type: ComputeType) {
        self.base.set_compute_type(compute_type);
        self.compute_type = compute_type;
    }

    /// Applies the layer.
    ///
    /// # Shapes
    /// - `x`: `[.., in_features]`
    /// - result: `[.., out_features]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>, ctx: &ForwardContext) -> Tensor<D> {
        let Some(adapter) = self.adapter.as_ref().filter(|_| ctx.adapters) else {
            return self.base.forward(x);
        };
        let dropout = match ctx.dropout_seed {
            Some(seed) if adapter.dropout > 0.0 => {
                Some(Dropout { p: adapter.dropout, seed: mix(seed, self.site) })
            }
            _ => None,
        };
        lora_linear_with(
            self.base.forward(x.clone()),
            x,
            adapter.lora_a.val(),
            adapter.lora_b.val(),
            adapter.scale,
            dropout,
            self.compute_type,
        )
    }

    /// Width of the input.
    pub fn in_features(&self) -> usize {
        self.base.in_features()
    }

    /// Width of the output.
    pub fn out_features(&self) -> usize {
        self.base.out_features()
    }
}

/// The two factors of a low-rank update.
#[derive(Module, Debug)]
pub struct LoraAdapter {
    /// `A`, `[r, in_features]`.
    pub lora_a: Param<Tensor<2>>,
    /// `B`, `[out_features, r]`.
    pub lora_b: Param<Tensor<2>>,
    scale: f32,
    dropout: f32,
}

impl LoraAdapter {
    /// A fresh adapter: `A` uniform within ±1/√in (Kaiming-uniform with a = √5,
    /// as PEFT), `B` zero, so that it changes nothing yet.
    ///
    /// `A` depends on `seed` and `path` alone, not on the order of creation.
    pub fn init(
        config: &LoraConfig,
        in_features: usize,
        out_features: usize,
        seed: u64,
        path: &str,
        device: &Device,
    ) -> Self {
        // Kaiming: bound = √(6 / ((1 + a²)·fan_in)), which is 1/√fan_in for a = √5.
        let bound = 1.0 / (in_features as f32).sqrt();
        let mut rng = ChaCha8Rng::seed_from_u64(mix(seed, site_id(path)));
        let a: Vec<f32> = (0..config.r * in_features)
            .map(|_| {
                let unit = (rng.next_u32() >> 8) as f32 / (1 << 24) as f32;
                (2.0 * unit - 1.0) * bound
            })
            .collect();
        let b = vec![0.0; out_features * config.r];
        Self::from_factors(
            config,
            Tensor::from_data(TensorData::new(a, [config.r, in_features]), device),
            Tensor::from_data(TensorData::new(b, [out_features, config.r]), device),
        )
    }

    /// An adapter of given factors `a` `[r, in]` and `b` `[out, r]`, trainable,
    /// with the scale and dropout of `config`.
    pub fn from_factors(config: &LoraConfig, a: Tensor<2>, b: Tensor<2>) -> Self {
        Self {
            lora_a: Param::from_tensor(a),
            lora_b: Param::from_tensor(b),
            scale: config.scale(),
            dropout: config.lora_dropout,
        }
    }

    /// Factor on `B·A`.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Rank.
    pub fn r(&self) -> usize {
        self.lora_a.dims()[0]
    }

    /// The dense update `scale · B·A`, `[out_features, in_features]`.
    pub fn delta(&self) -> Tensor<2> {
        let (a, b) = (self.lora_a.val().without_autodiff(), self.lora_b.val().without_autodiff());
        b.matmul(a).mul_scalar(self.scale)
    }
}
