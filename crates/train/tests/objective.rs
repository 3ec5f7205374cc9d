//! Other objectives than fine-tuning, and the base model as a reference.

mod tiny;

use std::ops::Range;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_data::Batch;
use camelid_lora::{ForwardContext, LoraConfig, attach, detach};
use camelid_model::{BlockStack, Llama};
use camelid_paged_optim::{AdamWConfig, PagedAdamW};
use camelid_train::{BlockInputPaging, DeviceBatch, MicroBatch, Objective, Step, TrainError};
use tiny::{data, full_model, lora_model, settings, trainer};

/// Direct preference optimisation (Rafailov et al. 2023, equation 7), β 0.1: sequences are pairs,
/// the chosen answer first. The reference is the model without its adapters.
struct Preferences;

const BETA: f64 = 0.1;

impl Preferences {
    /// Log-likelihood of each sequence, `[1]` each.
    fn log_likelihoods<M: BlockStack>(
        model: &M,
        hidden: &Tensor<3>,
        batch: &DeviceBatch,
        ctx: &ForwardContext,
    ) -> Vec<Tensor<1>> {
        let of_one = |range: Range<usize>| {
            let (first, len) = (range.start, range.len());
            let (x, labels) =
                (hidden.clone().narrow(1, first, len), batch.labels.clone().narrow(1, first, len));
            model.head_loss(x, labels, ctx).neg()
        };
        batch.cu_seqlens.ranges().map(of_one).collect()
    }
}

impl<M: BlockStack> Objective<M> for Preferences {
    type MicroBatch = Batch;
    type Given = Vec<f32>;

    fn sequences<'a>(&self, micro_batch: &'a Batch) -> &'a Batch {
        micro_batch
    }

    fn terms(&self, micro_batch: &Batch) -> usize {
        micro_batch.sequences() / 2
    }

    fn given(&self, model: &M, _: &Batch, batch: &DeviceBatch) -> Result<Vec<f32>, TrainError> {
        let model = model.valid();
        let ctx = ForwardContext::evaluation().without_adapters();
        let hidden = batch.hidden(&model, &ctx)?;
        Ok(Self::log_likelihoods(&model, &hidden, batch, &ctx).into_iter().map(Tensor::into_scalar).collect())
    }

    fn loss(
        &self,
        model: &M,
        hidden: Tensor<3>,
        batch: &DeviceBatch,
        reference: &Vec<f32>,
        ctx: &ForwardContext,
    ) -> Tensor<1> {
        let policy = Self::log_likelihoods(model, &hidden, batch, ctx);
        let pairs = policy.chunks(2).zip(reference.chunks(2)).map(|(policy, reference)| {
            let margin = policy[0].clone() - policy[1].clone() - f64::from(reference[0] - reference[1]);
            // −ln σ(βm) = ln(1 + e^(−βm))
            (margin * -BETA).exp().add_scalar(1.0).log()
        });
        pairs.reduce(|sum, pair| sum + pair).unwrap()
    }
}

fn preferences(activation_checkpointing: bool) -> Step<Preferences> {
    Step {
        objective: Preferences,
        learning_rate: 1e-2,
        max_grad_norm: 0.0,
        activation_checkpointing,
        block_inputs: BlockInputPaging::default(),
    }
}

/// Losses of a few steps, and the bytes of a factor afterwards.
fn preferred(activation_checkpointing: bool, cut: usize) -> (Vec<f64>, Vec<u8>) {
    let set = data(8, 0);
    let examples: Vec<_> = set.examples.iter().collect();
    let micro_batches: Vec<_> = examples
        .chunks(cut)
        .map(|pairs| MicroBatch { batch: Batch::packed(pairs).unwrap(), dropout_seed: None })
        .collect();
    let mut model = lora_model(1);
    let mut optim = PagedAdamW::new(AdamWConfig::default()).unwrap();
    let step = preferences(activation_checkpointing);
    let mut losses = vec![];
    for _ in 0..4 {
        let done = step.take(model, &mut optim, &micro_batches, &mut |_| {}).unwrap();
        assert_eq!(done.terms, 4);
        losses.push(done.loss);
        model = done.model;
    }
    let factor = model.layers[0].mlp.down_proj.adapter.as_ref().unwrap().lora_b.val();
    (losses, factor.into_data().as_bytes().to_vec())
}

#[test]
fn preferences_are_learnt_against_the_model_without_its_adapters() {
    let (losses, factor) = preferred(false, 8);
    // Fresh adapters change nothing: policy and reference are one.
    assert!((losses[0] - 2_f64.ln()).abs() < 1e-6, "{losses:?}");
    assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "{losses:?}");
    assert!(preferred(true, 8) == (losses.clone(), factor), "checkpointing changes a bit");
    for (cut, whole) in preferred(true, 2).0.iter().zip(&losses) {
        assert!((cut - whole).abs() < 1e-5, "micro-batches of one pair: {cut} and {whole}");
    }
}

#[test]
fn without_adapters_a_model_is_its_base_to_the_bit() {
    let dir = tempfile::tempdir().unwrap();
    let trained = trainer(lora_model(1), settings(), dir.path()).run().unwrap().model;
    let ids: Vec<i64> = (0..12).map(|i| (i * 5) % 48).collect();
    let logits = |model: &Llama, ctx: &ForwardContext| -> Vec<u32> {
        let model = model.valid();
        let device = model.devices()[0].clone();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids.clone(), [1, 12]), &device);
        let logits = model.forward(ids, ctx).into_data();
        logits.iter::<f32>().map(f32::to_bits).collect()
    };
    let (with, training) = (ForwardContext::evaluation(), ForwardContext::training(3));
    let base = logits(&full_model(1, false), &with);
    assert!(logits(&trained, &with) != base, "the adapters learnt something");
    assert!(logits(&trained, &with.without_adapters()) == base);
    assert!(logits(&trained, &training.without_adapters()) == base, "dropout is the adapters'");
    let mut detached = trained;
    detach(&mut detached);
    assert!(logits(&detached, &with) == base);
}

#[test]
fn the_walk_without_adapters_is_that_of_the_base_where_embedding_norm_and_head_are_adapted() {
    let lora: LoraConfig = serde_json::from_value(serde_json::json!({
        "target_modules": ["q_proj", "embed_tokens", "lm_head"], "modules_to_save": ["norm"]
    }))
    .unwrap();
    let model = attach(full_model(1, false), &lora, 1, &Device::flex().autodiff()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let trained = trainer(model, settings(), dir.path()).run().unwrap().model;
    let set = data(3, 0);
    let batch = Batch::packed(&set.examples.iter().collect::<Vec<_>>()).unwrap();
    let batch = DeviceBatch::new(&batch, &Device::flex());
    let loss = |model: &Llama, ctx: &ForwardContext| {
        let model = model.valid();
        let hidden = batch.hidden(&model, ctx).unwrap();
        let loss = model.head_loss(hidden.clone(), batch.labels.clone(), ctx).into_scalar::<f32>();
        (hidden.into_data(), loss.to_bits())
    };
    let with = ForwardContext::evaluation();
    let (hidden, value) = loss(&trained, &with.without_adapters());
    let (base_hidden, base_value) = loss(&full_model(1, false), &with);
    assert_eq!(hidden, base_hidden);
    assert_eq!(value, base_value);
    assert_ne!(loss(&trained, &with).1, base_value, "the adapters learnt something");
    // Each adapter by itself: only the embedding's changes what comes in, only the head's the loss.
    let embedded = |ctx| trained.valid().embed(batch.ids.clone(), ctx).into_data();
    assert_ne!(embedded(&with), embedded(&with.without_adapters()));
    let head = |ctx| {
        trained.valid().head_loss(
            Tensor::from_data(hidden.clone(), &Device::flex()),
            batch.labels.clone(),
            ctx,
        )
    };
    assert_ne!(head(&with).into_scalar::<f32>().to_bits(), base_value);
}
