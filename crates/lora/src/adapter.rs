//! The trained part of an adapted layer.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use camelid_kernels::{ComputeType, Dropout, lora_update_with};
use camelid_quant::BaseLinear;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::config::LoraConfig;
use crate::context::{ForwardContext, mix, site_id};
use crate::error::LoraError;

/// The two factors of a low-rank update, and what some kinds of adapters add to them.
#[derive(Module, Debug)]
pub struct LoraAdapter {
    /// `A`, `[r, in_features]`.
    pub lora_a: Param<Tensor<2>>,
    /// `B`, `[out_features, r]`.
    pub lora_b: Param<Tensor<2>>,
    /// Bias on the output of `B`, `[out_features]`, scaled as the update is (`lora_bias`).
    pub lora_bias: Option<Param<Tensor<1>>>,
    /// The magnitudes of DoRA.
    pub dora: Option<Dora>,
    scale: f32,
    dropout: f32,
    /// Identity of the layer in seeds: a hash of its path.
    site: u64,
}

/// What DoRA adds to LoRA (Liu et al. 2024, equation 5): each row of the adapted weight is brought
/// to a length that is trained on its own.
#[derive(Module, Debug)]
pub struct Dora {
    /// The lengths, `[out_features]`.
    pub magnitude: Param<Tensor<1>>,
    /// Squared lengths of the base's rows, `[out_features]`; never trained.
    base_squares: Param<Tensor<1>>,
}

/// The tensors of an adapter.
pub(crate) struct Factors {
    pub a: Tensor<2>,
    pub b: Tensor<2>,
    pub bias: Option<Tensor<1>>,
    pub magnitude: Option<Tensor<1>>,
}

impl LoraAdapter {
    /// A fresh adapter of the linear layer at `path`: `A` uniform within ±1/√in (Kaiming-uniform
    /// with a = √5, as PEFT), `B` zero, so that it changes nothing yet.
    ///
    /// `A` depends on `seed` and `path` alone, not on the order of creation.
    ///
    /// # Errors
    /// When a pattern of `config` is not a regular expression.
    pub fn init(
        config: &LoraConfig,
        base: &BaseLinear,
        seed: u64,
        path: &str,
        device: &Device,
    ) -> Result<Self, LoraError> {
        let (inputs, outputs) = (base.in_features(), base.out_features());
        let r = config.layer(path)?.r;
        // Kaiming: bound = √(6 / ((1 + a²)·fan_in)), which is 1/√fan_in for a = √5.
        let bound = 1.0 / (inputs as f32).sqrt();
        let mut rng = rng(seed, path);
        let a: Vec<f32> = (0..r * inputs)
            .map(|_| {
                let unit = (rng.next_u32() >> 8) as f32 / (1 << 24) as f32;
                (2.0 * unit - 1.0) * bound
            })
            .collect();
        let zeros = || Tensor::zeros([outputs], device);
        let factors = Factors {
            a: Tensor::from_data(TensorData::new(a, [r, inputs]), device),
            b: Tensor::from_data(TensorData::new(vec![0.0_f32; outputs * r], [outputs, r]), device),
            bias: config.lora_bias.then(zeros),
            // The base's own lengths, of which the squares are at hand below.
            magnitude: None,
        };
        let mut adapter = Self::from_factors(config, path, factors, base)?;
        if config.use_dora {
            let base_squares = squares(base);
            let magnitude = Param::from_tensor(base_squares.clone().sqrt());
            adapter.dora = Some(Dora { magnitude, base_squares: frozen(base_squares) });
        }
        Ok(adapter)
    }

    /// A trainable adapter of given tensors, with the scale and dropout that `config` gives the
    /// layer at `path`.
    pub(crate) fn from_factors(
        config: &LoraConfig,
        path: &str,
        factors: Factors,
        base: &BaseLinear,
    ) -> Result<Self, LoraError> {
        let mut adapter = Self::of_embedding(config, path, factors.a, factors.b)?;
        adapter.lora_bias = factors.bias.map(Param::from_tensor);
        adapter.dora = factors.magnitude.map(|magnitude| Dora {
            magnitude: Param::from_tensor(magnitude),
            base_squares: frozen(squares(base)),
        });
        Ok(adapter)
    }

    /// The adapter of an embedding: `a` `[r, vocab_size]`, `b` `[hidden_size, r]`.
    pub(crate) fn of_embedding(
        config: &LoraConfig,
        path: &str,
        a: Tensor<2>,
        b: Tensor<2>,
    ) -> Result<Self, LoraError> {
        Ok(Self {
            lora_a: Param::from_tensor(a),
            lora_b: Param::from_tensor(b),
            lora_bias: None,
            dora: None,
            scale: config.layer(path)?.scale,
            dropout: config.lora_dropout,
            site: site_id(path),
        })
    }

    /// Factor on `B·A`.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Rank.
    pub fn r(&self) -> usize {
        self.lora_a.dims()[0]
    }

    /// The low-rank product `scale · B·A`, `[out_features, in_features]`.
    pub fn delta(&self) -> Tensor<2> {
        let (a, b) = (self.lora_a.val().without_autodiff(), self.lora_b.val().without_autodiff());
        b.matmul(a).mul_scalar(self.scale)
    }

    /// The output of the adapted layer. With DoRA, dropout acts on the low-rank branch alone.
    ///
    /// # Shapes
    /// - `x`: `[.., in_features]`
    /// - result: `[.., out_features]`
    pub(crate) fn forward<const D: usize>(
        &self,
        base: &BaseLinear,
        x: Tensor<D>,
        ctx: &ForwardContext,
        compute_type: ComputeType,
    ) -> Tensor<D> {
        self.onto(base.forward(x.clone()), base, x, ctx, compute_type)
    }

    /// As [`LoraAdapter::forward`], where the output of the base for `x` is known.
    pub(crate) fn onto<const D: usize>(
        &self,
        base_output: Tensor<D>,
        base: &BaseLinear,
        x: Tensor<D>,
        ctx: &ForwardContext,
        compute_type: ComputeType,
    ) -> Tensor<D> {
        let dropout = match ctx.dropout_seed {
            Some(seed) if self.dropout > 0.0 => Some(Dropout { p: self.dropout, seed: mix(seed, self.site) }),
            _ => None,
        };
        let (a, b) = (self.lora_a.val(), self.lora_b.val());
        let y = lora_update_with(base_output, x, a, b, self.scale, dropout, compute_type);
        let y = match &self.lora_bias {
            Some(bias) => y + (bias.val() * self.scale).unsqueeze(),
            None => y,
        };
        let Some(dora) = &self.dora else { return y };
        let stretch = dora.stretch(self, base);
        match base_bias(base) {
            // The base's bias is not part of what is brought to length.
            Some(bias) => y * stretch.clone().unsqueeze() + (bias.clone() - bias * stretch).unsqueeze(),
            None => y * stretch.unsqueeze(),
        }
    }

    /// The adapted weight `[out_features, in_features]`, differentiable in the adapter.
    pub(crate) fn weight(&self, base: &BaseLinear) -> Tensor<2> {
        let sum = base.dense_weight() + self.lora_b.val().matmul(self.lora_a.val()) * self.scale;
        match &self.dora {
            Some(dora) => sum * dora.stretch(self, base).unsqueeze_dim(1),
            None => sum,
        }
    }

    /// What the adapter adds to the base's weight, `[out_features, in_features]`.
    pub(crate) fn update(&self, base: &BaseLinear) -> Tensor<2> {
        let delta = self.delta();
        let Some(dora) = &self.dora else { return delta };
        let old = base.dense_weight().without_autodiff();
        let sum = old.clone() + delta;
        let length = row_squares(sum.clone()).sqrt().clamp_min(f32::MIN_POSITIVE);
        let stretch = dora.magnitude.val().without_autodiff() / length;
        sum * stretch.unsqueeze_dim(1) - old
    }

    /// What the adapter adds to the base's bias, `[out_features]`.
    pub(crate) fn bias_update(&self) -> Option<Tensor<1>> {
        let bias = self.lora_bias.as_ref()?;
        Some(bias.val().without_autodiff() * self.scale)
    }
}

impl Dora {
    /// What each output is multiplied by: its magnitude over the length of its row in
    /// `W + scale·B·A`. The length takes part in no gradient (section 4.3 of the paper).
    ///
    /// ‖W + sBA‖² = ‖W‖² + 2s·⟨W, BA⟩ + s²·‖BA‖², row by row, so that a packed `W` is multiplied
    /// with the r rows of `A` and never unpacked.
    fn stretch(&self, adapter: &LoraAdapter, base: &BaseLinear) -> Tensor<1> {
        let (a, b) = (adapter.lora_a.val().detach(), adapter.lora_b.val().detach());
        let s = adapter.scale;
        let mut wa = base.forward(a.clone());
        if let Some(bias) = base_bias(base) {
            wa = wa - bias.unsqueeze();
        }
        let cross = (wa.transpose() * b.clone()).sum_dim(1).squeeze_dim::<1>(1);
        let gram = a.clone().matmul(a.transpose());
        let low_rank = (b.clone().matmul(gram) * b).sum_dim(1).squeeze_dim::<1>(1);
        let square = self.base_squares.val() + cross * (2.0 * s) + low_rank * (s * s);
        self.magnitude.val() / square.clamp_min(f32::MIN_POSITIVE).sqrt().detach()
    }
}

pub(crate) fn base_bias(base: &BaseLinear) -> Option<Tensor<1>> {
    let bias = match base {
        BaseLinear::Dense(dense) => &dense.bias,
        BaseLinear::Quant(quant) => &quant.bias,
        BaseLinear::Int8(int8) => &int8.bias,
    };
    bias.as_ref().map(|bias| bias.val().detach())
}

/// Squared lengths of the rows of a base's weight.
fn squares(base: &BaseLinear) -> Tensor<1> {
    row_squares(base.dense_weight().detach())
}

fn row_squares(weight: Tensor<2>) -> Tensor<1> {
    (weight.clone() * weight).sum_dim(1).squeeze_dim::<1>(1)
}

fn frozen(values: Tensor<1>) -> Param<Tensor<1>> {
    Param::from_tensor(values).set_require_grad(false)
}

/// A generator of its own for each module.
pub(crate) fn rng(seed: u64, path: &str) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(mix(seed, site_id(path)))
}
