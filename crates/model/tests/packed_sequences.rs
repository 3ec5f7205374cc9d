//! Packed sequences against the same ones padded to a rectangle.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_kernels::IGNORE_INDEX;
use camelid_lora::{ForwardContext, LoraConfig, attach};
use camelid_model::{BlockStack, CuSeqlens, Llama, LlamaConfig, LoadOptions, WeightStorage};
use camelid_quant::QuantConfig;

const LENGTHS: [usize; 4] = [5, 19, 1, 11];
const VOCAB: i64 = 50;

fn config() -> LlamaConfig {
    LlamaConfig {
        vocab_size: VOCAB as usize,
        hidden_size: 24,
        intermediate_size: 40,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 6,
        ..LlamaConfig::smollm2_135m()
    }
}

fn id(row: usize, position: usize) -> i64 {
    ((row * 17 + position * position * 7 + 3) as i64) % VOCAB
}

/// Labels aligned with the ids; the first of a row is never predicted.
fn label(row: usize, position: usize) -> i64 {
    if position < 1 + row % 2 { IGNORE_INDEX } else { id(row, position) }
}

fn tensor(values: Vec<i64>, rows: usize, device: &Device) -> Tensor<2, Int> {
    let columns = values.len() / rows;
    Tensor::from_data(TensorData::new(values, [rows, columns]), device)
}

fn padded(model: &impl BlockStack, device: &Device) -> Tensor<1> {
    let seq = LENGTHS.into_iter().max().unwrap();
    let fill = |value: fn(usize, usize) -> i64, padding: i64| {
        let place = |i: usize| (i / seq, i % seq);
        let values = (0..LENGTHS.len() * seq).map(place);
        let values = values.map(|(row, at)| if at < LENGTHS[row] { value(row, at) } else { padding });
        tensor(values.collect(), LENGTHS.len(), device)
    };
    let ctx = ForwardContext::evaluation();
    let mut x = model.embed(fill(id, 0), &ctx);
    for i in 0..model.num_blocks() {
        x = model.block(i, x, &ctx);
    }
    model.head_loss(x, fill(label, IGNORE_INDEX), &ctx)
}

fn packed(model: &impl BlockStack, device: &Device) -> Tensor<1> {
    let (cu_seqlens, ctx) = (CuSeqlens::of_lengths(LENGTHS), ForwardContext::evaluation());
    let all = |value: fn(usize, usize) -> i64| {
        let row = |(row, &len): (usize, &usize)| (0..len).map(move |at| value(row, at));
        tensor(LENGTHS.iter().enumerate().flat_map(row).collect(), 1, device)
    };
    let mut x = model.embed(all(id), &ctx);
    for i in 0..model.num_blocks() {
        x = model.block_varlen(i, x, &cu_seqlens, &ctx);
    }
    model.head_loss(x, all(label), &ctx)
}

#[derive(Default)]
struct Gradients(Vec<Vec<f32>>);

struct Collect<'a>(&'a mut Gradients, &'a GradientsParams);

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.1.get::<D>(param.id) {
            self.0.0.push(gradient.into_data().iter::<f32>().collect());
        }
    }
}

fn gradients(model: &impl Module, loss: Tensor<1>) -> Gradients {
    let found = GradientsParams::from_module(&mut loss.backward(), model);
    let mut gradients = Gradients::default();
    model.visit(&mut Collect(&mut gradients, &found));
    gradients
}

fn compare(model: &impl BlockStack, device: &Device) {
    let (a, b) = (padded(model, device), packed(model, device));
    let (loss, other) = (a.clone().into_scalar::<f32>(), b.clone().into_scalar::<f32>());
    assert!((loss - other).abs() < 1e-5 * loss, "{loss} {other}");
    let (a, b) = (gradients(model, a), gradients(model, b));
    assert!(!a.0.is_empty());
    assert_eq!(a.0.len(), b.0.len());
    for (i, (a, b)) in a.0.iter().zip(&b.0).enumerate() {
        let largest = a.iter().fold(0f32, |m, g| m.max(g.abs()));
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= 1e-5 * largest + 1e-7, "parameter {i}: {a} {b}");
        }
    }
}

#[test]
fn all_parameters_get_the_gradients_of_the_padded_form() {
    let device = Device::flex().autodiff();
    compare(&Llama::random(&config(), 3, &device), &device);
}

#[test]
fn adapters_over_packed_weights_get_the_gradients_of_the_padded_form() {
    let device = Device::flex().autodiff();
    let options = LoadOptions::new(WeightStorage::Quantized(QuantConfig::default()));
    let model = Llama::random_with(&config(), &options, 3, &device).unwrap();
    let lora = LoraConfig { r: 4, ..LoraConfig::default() };
    let mut model = attach(model, &lora, 1, &device).unwrap();
    // B is zero in a fresh adapter, and A's gradient with it.
    for layer in &mut model.layers {
        for (_, linear) in layer.linears_mut() {
            let adapter = linear.adapter.as_mut().unwrap();
            let [rows, r] = adapter.lora_b.dims();
            let values: Vec<f32> = (0..rows * r).map(|i| ((i * 37 % 19) as f32 - 9.0) * 0.02).collect();
            adapter.lora_b =
                Param::from_tensor(Tensor::from_data(TensorData::new(values, [rows, r]), &device));
        }
    }
    compare(&model, &device);
}

#[test]
fn a_model_held_otherwise_has_the_values_of_a_dense_one() {
    let device = Device::flex();
    let dense = Llama::random(&config(), 5, &device);
    let same = Llama::random_with(&config(), &LoadOptions::new(WeightStorage::F32), 5, &device).unwrap();
    let loss = |model: &Llama| packed(model, &device).into_scalar::<f32>();
    assert_eq!(loss(&dense), loss(&same));
    let packed = LoadOptions::new(WeightStorage::Quantized(QuantConfig::default()));
    let packed = Llama::random_with(&config(), &packed, 5, &device).unwrap();
    assert!(packed.weights_nbytes() < dense.weights_nbytes());
    let (dense, packed) = (loss(&dense), loss(&packed));
    assert!((dense - packed).abs() < 0.05 * dense, "{dense} {packed}");
}

/// A stack that has nothing but the required methods.
#[derive(Module, Debug)]
struct Plain {
    model: Llama,
}

impl BlockStack for Plain {
    type Block = camelid_model::Block;

    fn embed(&self, ids: Tensor<2, Int>, ctx: &ForwardContext) -> Tensor<3> {
        self.model.embed(ids, ctx)
    }

    fn blocks(&self) -> &[Self::Block] {
        self.model.blocks()
    }

    fn block(&self, i: usize, x: Tensor<3>, ctx: &ForwardContext) -> Tensor<3> {
        self.model.block(i, x, ctx)
    }

    fn head_loss(&self, x: Tensor<3>, labels: Tensor<2, Int>, ctx: &ForwardContext) -> Tensor<1> {
        self.model.head_loss(x, labels, ctx)
    }
}

#[test]
fn a_stack_without_a_form_of_its_own_gives_the_same() {
    let device = Device::flex().autodiff();
    compare(&Plain { model: Llama::random(&config(), 4, &device) }, &device);
}
