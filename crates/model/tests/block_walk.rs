//! A backward pass walked block by block against one through the whole model,
//! with every parameter trainable.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_kernels::{IGNORE_INDEX, vjp_seed};
use camelid_lora::ForwardContext;
use camelid_model::{BlockStack, Llama, LlamaConfig};

const EVALUATION: ForwardContext = ForwardContext::evaluation();

fn config(tie_word_embeddings: bool) -> LlamaConfig {
    LlamaConfig {
        vocab_size: 50,
        hidden_size: 24,
        intermediate_size: 40,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 6,
        attention_bias: true,
        mlp_bias: true,
        tie_word_embeddings,
        ..LlamaConfig::smollm2_135m()
    }
}

/// Gradients by parameter path; a second one of the same path is added.
#[derive(Default)]
struct Collected {
    path: Vec<String>,
    gradients: BTreeMap<String, Vec<f32>>,
    parameters: usize,
}

struct Collect<'a>(&'a mut Collected, &'a GradientsParams);

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.0.path.push(name.into());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.0.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.parameters += 1;
        let Some(gradient) = self.1.get::<D>(param.id) else { return };
        let values: Vec<f32> = gradient.into_data().iter::<f32>().collect();
        let sum = self.0.gradients.entry(self.0.path.join(".")).or_insert_with(|| vec![0.0; values.len()]);
        sum.iter_mut().zip(values).for_each(|(s, v)| *s += v);
    }
}

fn batch(device: &Device) -> (Tensor<2, Int>, Tensor<2, Int>) {
    let ids: Vec<i64> = (0..2 * 9).map(|i| (i * i * 7 + 3) % 50).collect();
    let mut labels = ids.clone();
    labels[..3].fill(IGNORE_INDEX);
    labels[15..].fill(IGNORE_INDEX);
    let tensor = |v| Tensor::from_data(TensorData::new(v, [2, 9]), device);
    (tensor(ids), tensor(labels))
}

fn in_one_pass(model: &Llama, device: &Device) -> (f32, Collected) {
    let (ids, labels) = batch(device);
    let mut x = model.embed(ids, &EVALUATION);
    for i in 0..model.num_blocks() {
        x = model.block(i, x, &EVALUATION);
    }
    let loss = model.head_loss(x, labels, &EVALUATION);
    let value = loss.clone().into_scalar::<f32>();
    let gradients = GradientsParams::from_module(&mut loss.backward(), model);
    let mut collected = Collected::default();
    model.visit(&mut Collect(&mut collected, &gradients));
    (value, collected)
}

fn block_by_block(model: &Llama, device: &Device) -> (f32, Collected) {
    let (ids, labels) = batch(device);
    let mut collected = Collected::default();
    let mut keep = |gradients: &mut burn::tensor::Gradients| {
        let gradients = GradientsParams::from_module(gradients, model);
        model.visit(&mut Collect(&mut collected, &gradients));
    };
    let untracked = model.valid();
    let mut inputs = Vec::new();
    let mut h = untracked.embed(ids.clone().inner(), &EVALUATION);
    for i in 0..model.num_blocks() {
        inputs.push(h.clone());
        h = untracked.block(i, h, &EVALUATION);
    }
    let h = Tensor::from_inner(h).require_grad();
    let loss = model.head_loss(h.clone(), labels, &EVALUATION);
    let value = loss.clone().into_scalar::<f32>();
    let mut gradients = loss.backward();
    let mut dy = h.grad_remove(&mut gradients).unwrap();
    keep(&mut gradients);
    for i in (0..model.num_blocks()).rev() {
        let x = Tensor::from_inner(inputs.pop().unwrap()).require_grad();
        let y = model.block(i, x.clone(), &EVALUATION);
        let mut gradients = vjp_seed(y, dy).backward();
        dy = x.grad_remove(&mut gradients).unwrap();
        keep(&mut gradients);
    }
    keep(&mut vjp_seed(model.embed(ids, &EVALUATION), dy).backward());
    (value, collected)
}

#[test]
fn both_reach_every_parameter_with_the_same_gradient() {
    let device = Device::flex().autodiff();
    for tied in [false, true] {
        let model = Llama::random(&config(tied), 2, &device);
        let (loss, whole) = in_one_pass(&model, &device);
        let (loss_again, walked) = block_by_block(&model, &device);
        assert_eq!(loss, loss_again);
        // Per block 2 norms and 7 linears with bias; embedding, norm and, untied, the head.
        assert_eq!(whole.parameters, 3 * (2 + 14) + 2 + usize::from(!tied));
        assert_eq!(whole.gradients.len(), whole.parameters, "every parameter has a gradient");
        assert!(whole.gradients.keys().eq(walked.gradients.keys()));
        for (path, expected) in &whole.gradients {
            let largest = expected.iter().fold(0.0_f32, |m, g| m.max(g.abs()));
            // Nothing depends on a bias of the keys: softmax ignores a common shift.
            assert!(largest > 1e-7 || path.contains("k_proj"), "{path} has a gradient");
            for (a, b) in expected.iter().zip(&walked.gradients[path]) {
                assert!((a - b).abs() <= 1e-5 * largest + 1e-7, "{path}: {a} {b}");
            }
        }
    }
}

/// Nothing predicts the only token of a row.
#[test]
fn rows_of_one_token_have_no_loss() {
    let device = Device::flex().autodiff();
    let model = Llama::random(&config(false), 2, &device);
    for batch in [1, 3] {
        let ids = || Tensor::<2, Int>::from_data(TensorData::new(vec![7_i64; batch], [batch, 1]), &device);
        let mut x = model.embed(ids(), &EVALUATION);
        for i in 0..model.num_blocks() {
            x = model.block(i, x, &EVALUATION);
        }
        assert_eq!(model.head_loss(x, ids(), &EVALUATION).into_scalar::<f32>(), 0.0);
    }
}

/// The gradient against differences of the loss, along its own direction.
#[test]
fn the_gradient_predicts_the_loss() {
    let device = Device::flex().autodiff();
    let model = Llama::random(&config(false), 2, &device);
    let (loss, collected) = in_one_pass(&model, &device);
    for (path, step) in [
        ("embed_tokens.weight", 0.005),
        ("lm_head.base.Dense.weight", 0.05),
        ("layers.1.self_attn.q_proj.base.Dense.weight", 0.2),
        ("layers.2.mlp.down_proj.base.Dense.weight", 0.02),
        ("layers.0.mlp.up_proj.base.Dense.weight", 0.2),
    ] {
        let gradient = &collected.gradients[path];
        let norm = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        let moved = |sign: f32| {
            let mut mover =
                Move { path: Vec::new(), target: path, direction: gradient, by: sign * step / norm };
            let (loss, _) = in_one_pass(&model.clone().map(&mut mover), &device);
            loss
        };
        let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
        println!("{path}: |gradient| {norm:.5}, measured slope {slope:.5}, loss {loss:.3}");
        assert!((slope - norm).abs() < 0.02 * norm, "{path}: {slope} {norm}");
    }
}

/// Adds `by * direction` to the parameter at `target`.
struct Move<'a> {
    path: Vec<String>,
    target: &'a str,
    direction: &'a [f32],
    by: f32,
}

impl burn::module::ModuleMapper for Move<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.path.join(".") != self.target {
            return param;
        }
        let (by, shape) = (self.by, param.val().shape());
        let direction: Vec<f32> = self.direction.iter().map(|d| d * by).collect();
        param.map(|value| {
            let step = Tensor::from_data(TensorData::new(direction, shape), &value.device());
            (value + step).detach().require_grad()
        })
    }
}
