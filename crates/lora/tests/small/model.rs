//! A small language model with every kind of module that an adapter may change.

use burn::module::{Module, Param};
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use camelid_kernels::rms_norm;
use camelid_lora::{
    AdapterHost, BaseLinear, DenseLinear, Embedding, ForwardContext, LoraLinear, ModuleMut, ModuleRef, Tied,
};
use camelid_quant::{QuantConfig, QuantLinear, QuantizedTensor};

pub const VOCAB: usize = 24;
pub const HIDDEN: usize = 32;
pub const EVALUATION: ForwardContext = ForwardContext::evaluation();

/// Embedding, two linear layers one after the other, a norm, a head that may be the embedding.
#[derive(Module, Debug)]
pub struct Small {
    pub embed_tokens: Embedding,
    pub up: LoraLinear,
    pub down: LoraLinear,
    pub norm: Param<Tensor<1>>,
    norm_original: Option<Param<Tensor<1>>>,
    pub lm_head: Option<LoraLinear>,
}

impl Small {
    pub fn dense(tied: bool, device: &Device) -> Self {
        Self::new(tied, device, |_, weight, bias| BaseLinear::Dense(DenseLinear::frozen(weight, bias)))
    }

    pub fn packed(tied: bool, config: &QuantConfig, device: &Device) -> Self {
        Self::new(tied, device, |name, weight, bias| {
            let shape = weight.dims();
            let values: Vec<f32> = weight.into_data().iter::<f32>().collect();
            let packed = QuantizedTensor::quantize(name, &values, &shape, config).unwrap();
            BaseLinear::Quant(QuantLinear::from_quantized(packed, bias, device).unwrap())
        })
    }

    fn new(
        tied: bool,
        device: &Device,
        linear: impl Fn(&str, Tensor<2>, Option<Tensor<1>>) -> BaseLinear,
    ) -> Self {
        let values = |n: usize, step: usize| -> Vec<f32> {
            (0..n).map(|i| ((i * step) % 211) as f32 / 211.0 - 0.5).collect()
        };
        let matrix = |shape: [usize; 2], step| {
            Tensor::<2>::from_data(TensorData::new(values(shape[0] * shape[1], step), shape), device)
        };
        let vector = |n, step| Tensor::<1>::from_data(TensorData::new(values(n, step), [n]), device);
        let table = |step| Param::from_tensor(matrix([VOCAB, HIDDEN], step));
        let head = DenseLinear::from_params(table(71), None);
        Self {
            embed_tokens: Embedding::new(table(29)),
            up: LoraLinear::new(linear("up", matrix([64, HIDDEN], 37), Some(vector(64, 17)))),
            down: LoraLinear::new(linear("down", matrix([HIDDEN, 64], 53), None)),
            norm: Param::from_tensor(vector(HIDDEN, 41) + 1.0),
            norm_original: None,
            lm_head: (!tied).then(|| LoraLinear::new(BaseLinear::Dense(head))),
        }
    }

    pub fn forward(&self, ctx: &ForwardContext) -> Tensor<3> {
        let device = self.norm.val().device();
        let ids: Vec<i64> = (0..10).map(|i| (i * 7) % VOCAB as i64).collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [2, 5]), &device);
        let x = self.embed_tokens.forward(ids, ctx);
        let x = x.clone() + self.down.forward(self.up.forward(x, ctx), ctx);
        let norm = self.norm_original.as_ref().filter(|_| !ctx.adapters).unwrap_or(&self.norm);
        let x = rms_norm(x, norm.val(), 1e-5);
        match &self.lm_head {
            Some(head) => head.forward(x, ctx),
            None => camelid_kernels::linear(x, self.embed_tokens.weight(ctx), None),
        }
    }

    pub fn logits(&self) -> Vec<f32> {
        values(self.forward(&EVALUATION))
    }

    pub fn base_logits(&self) -> Vec<f32> {
        values(self.forward(&EVALUATION.without_adapters()))
    }
}

impl AdapterHost for Small {
    fn linears(&self) -> Vec<(String, &LoraLinear)> {
        vec![("model.layers.0.up".into(), &self.up), ("model.layers.1.down".into(), &self.down)]
    }
    fn linears_mut(&mut self) -> Vec<(String, &mut LoraLinear)> {
        vec![("model.layers.0.up".into(), &mut self.up), ("model.layers.1.down".into(), &mut self.down)]
    }
    fn others(&self) -> Vec<(String, ModuleRef<'_>)> {
        let mut others = vec![
            ("model.embed_tokens".into(), ModuleRef::Embedding(&self.embed_tokens)),
            ("model.norm".into(), ModuleRef::Norm(&self.norm, &self.norm_original)),
        ];
        others.extend(self.lm_head.iter().map(|head| ("lm_head".into(), ModuleRef::Linear(head))));
        others
    }
    fn others_mut(&mut self) -> Vec<(String, ModuleMut<'_>)> {
        let mut others = vec![
            ("model.embed_tokens".into(), ModuleMut::Embedding(&mut self.embed_tokens)),
            ("model.norm".into(), ModuleMut::Norm(&mut self.norm, &mut self.norm_original)),
        ];
        others.extend(self.lm_head.iter_mut().map(|head| ("lm_head".into(), ModuleMut::Linear(head))));
        others
    }
    fn tied(&self) -> Option<Tied> {
        let tied = || Tied { embedding: "model.embed_tokens".into(), head: "lm_head".into() };
        self.lm_head.is_none().then(tied)
    }
    fn untie(&mut self) {
        let weight = self.embed_tokens.weight.val();
        self.lm_head = Some(LoraLinear::new(BaseLinear::Dense(DenseLinear::frozen(weight, None))));
    }
}

/// Moves everything trainable by random amounts, as training would.
pub fn trained(model: Small, size: f64, device: &Device) -> Small {
    struct Move<'a>(f64, &'a Device);
    impl burn::module::ModuleMapper for Move<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let trainable = param.val().is_require_grad();
            let (id, tensor, mapper) = param.consume();
            if !trainable {
                return Param::from_mapped_value(id, tensor, mapper);
            }
            let step = Tensor::random(tensor.dims(), Distribution::Normal(0.0, self.0), self.1);
            Param::from_mapped_value(id, (tensor + step).detach().require_grad(), mapper)
        }
    }
    device.seed(17);
    model.map(&mut Move(size, device))
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
