//! Adapters on the tiny LLaMA against PEFT: logits, gradients, merges.

mod tiny_llama;

use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use camelid_lora::{
    AdapterHost, ForwardContext, LoraConfig, LoraError, LoraLinear, MergeInto, load_peft, merge, save_peft,
    unmerge,
};
use camelid_model::{BlockStack, Llama, supervised_tokens};
use camelid_quant::{BaseLinear, QuantConfig, QuantLinear, QuantizeOptions, QuantizedTensor, Rounding};
use tiny_llama::{Golden, TOLERANCE, assert_close, folder, max_difference, model, values};

const EVALUATION: ForwardContext = ForwardContext::evaluation();

fn adapted(folder: &Path, base: &str, adapter: &str, device: &Device) -> (Llama, LoraConfig) {
    let (model, loaded) = load_peft(model(folder, base, device), &folder.join(adapter), device).unwrap();
    assert_eq!(loaded.notes, []);
    (model, loaded.config)
}

fn inputs(folder: &Path) -> Golden {
    Golden::open(folder.join("inputs_and_logits.safetensors"))
}

#[test]
fn adapters_of_peft_give_their_logits() {
    let Some(folder) = folder() else { return };
    let device = Device::flex();
    let ids = inputs(&folder).matrix("input_ids", &device);
    let variants = Golden::open(folder.join("adapter_variants_logits.safetensors"));
    let main = Golden::open(folder.join("adapter_logits.safetensors"));
    for (adapter, golden, name) in [
        ("adapter_r8_a16", &main, "logits"),
        ("adapter_qv_only", &variants, "qv_only.logits"),
        ("adapter_rslora", &variants, "rslora.logits"),
        ("adapter_dora", &variants, "dora.logits"),
    ] {
        let (model, _) = adapted(&folder, "base_nf4_dq", adapter, &device);
        let logits = values(model.forward(ids.clone(), &EVALUATION));
        assert_close(adapter, &logits, &golden.floats(name), TOLERANCE);
    }
}

#[test]
fn gradients_of_the_adapter_equal_those_of_peft() {
    let Some(folder) = folder() else { return };
    let device = Device::flex().autodiff();
    let golden = Golden::open(folder.join("lora_grads.safetensors"));
    let inputs = inputs(&folder);
    let (model, _) = adapted(&folder, "base_nf4_dq", "adapter_r8_a16", &device);

    let ids = inputs.matrix("input_ids_padded", &device);
    let count = supervised_tokens(&inputs.integers("labels"), ids.dims()[1]) as f32;
    let mut x = model.embed(ids, &EVALUATION);
    for i in 0..model.num_blocks() {
        x = model.block(i, x, &EVALUATION);
    }
    let loss = model.head_loss(x, inputs.matrix("labels", &device), &EVALUATION) / count;
    let expected = Golden::open(folder.join("adapter_logits.safetensors")).floats("padded.loss");
    assert_close("loss", &[loss.clone().into_scalar::<f32>()], &expected, TOLERANCE);
    let mut gradients = loss.backward();
    let gradients = GradientsParams::from_module(&mut gradients, &model);
    assert_eq!(gradients.len(), 28, "only the adapters' parameters have gradients");

    for (path, linear) in model.linears() {
        let adapter = linear.adapter.as_ref().unwrap();
        for (factor, param) in [("lora_A", &adapter.lora_a), ("lora_B", &adapter.lora_b)] {
            let name = format!("base_model.model.{path}.{factor}.default.weight");
            let gradient = gradients.get::<2>(param.id).unwrap();
            let expected = golden.floats(&name);
            // Absolute where gradients are small, relative to the largest else.
            let largest = expected.iter().fold(0.0_f32, |m, g| m.max(g.abs()));
            assert_close(&name, &values(gradient), &expected, 1e-6 + 1e-4 * largest);
        }
    }
}

/// Walking back block by block gives the gradients of one backward pass.
#[test]
fn block_by_block_gradients_equal_those_of_one_pass() {
    let Some(folder) = folder() else { return };
    let device = Device::flex().autodiff();
    let inputs = inputs(&folder);
    let (model, _) = adapted(&folder, "base_nf4", "adapter_r8_a16", &device);
    let ids = inputs.matrix("input_ids_padded", &device);
    let labels = inputs.matrix("labels", &device);

    let mut x = model.embed(ids.clone(), &EVALUATION);
    for i in 0..model.num_blocks() {
        x = model.block(i, x, &EVALUATION);
    }
    let mut whole = model.head_loss(x, labels.clone(), &EVALUATION).backward();
    let whole = GradientsParams::from_module(&mut whole, &model);

    let untracked = model.valid();
    let mut kept = Vec::new();
    let mut h = untracked.embed(ids.inner(), &EVALUATION);
    for i in 0..model.num_blocks() {
        kept.push(h.clone());
        h = untracked.block(i, h, &EVALUATION);
    }
    let h = Tensor::from_inner(h).require_grad();
    let mut gradients = model.head_loss(h.clone(), labels, &EVALUATION).backward();
    let mut dy = h.grad_remove(&mut gradients).unwrap();
    for i in (0..model.num_blocks()).rev() {
        let x = Tensor::from_inner(kept.pop().unwrap()).require_grad();
        let y = model.block(i, x.clone(), &EVALUATION);
        let mut gradients = camelid_kernels::vjp_seed(y, dy).backward();
        dy = x.grad_remove(&mut gradients).unwrap();
        let parts = GradientsParams::from_module(&mut gradients, &model.blocks()[i]);
        let mut compare = Compare { whole: &whole, parts: &parts, compared: 0 };
        model.blocks()[i].visit(&mut compare);
        assert_eq!(compare.compared, 2 * 7, "two factors on each of seven layers");
    }
}

struct Compare<'a> {
    whole: &'a GradientsParams,
    parts: &'a GradientsParams,
    compared: usize,
}

impl ModuleVisitor for Compare<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        match (self.whole.get::<D>(param.id), self.parts.get::<D>(param.id)) {
            (Some(whole), Some(part)) => {
                self.compared += 1;
                let (whole, part) = (values(whole), values(part));
                let largest = whole.iter().fold(0.0_f32, |m, g| m.max(g.abs()));
                assert!(max_difference(&whole, &part) <= 1e-6 + 1e-5 * largest);
            }
            (None, None) => {}
            _ => panic!("a gradient is in one walk only"),
        }
    }
}

#[test]
fn an_adapter_written_again_is_the_file_of_peft_byte_for_byte() {
    let Some(folder) = folder() else { return };
    let device = Device::flex();
    let (model, config) = adapted(&folder, "base_f32", "adapter_r8_a16", &device);
    let out = tempfile::tempdir().unwrap();
    save_peft(&model, &config, Some("../base_f32"), out.path()).unwrap();
    let file = "adapter_model.safetensors";
    let written = std::fs::read(out.path().join(file)).unwrap();
    let original = std::fs::read(folder.join("adapter_r8_a16").join(file)).unwrap();
    assert!(written == original);

    // Every setting written is one that PEFT itself writes, of the same type.
    let settings = |dir: &Path| -> serde_json::Map<String, serde_json::Value> {
        let text = std::fs::read_to_string(dir.join("adapter_config.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let peft = settings(&folder.join("adapter_r8_a16"));
    for (key, value) in settings(out.path()) {
        if key == "target_modules" {
            let sorted = |v: &serde_json::Value| {
                let mut names: Vec<_> = v.as_array().unwrap().iter().map(|n| n.to_string()).collect();
                names.sort();
                names
            };
            assert_eq!(sorted(&value), sorted(&peft[&key]));
        } else {
            assert_eq!(value, peft[&key], "{key}");
        }
    }

    let again = tiny_llama::model(&folder, "base_f32", &device);
    let (again, read) = load_peft(again, out.path(), &device).unwrap();
    assert_eq!(read.config, config);
    let ids = inputs(&folder).matrix("input_ids", &device);
    assert_eq!(values(again.forward(ids.clone(), &EVALUATION)), values(model.forward(ids, &EVALUATION)));
}

#[test]
fn merging_into_a_dense_base_equals_peft_and_is_undone_bit_for_bit() {
    let Some(folder) = folder() else { return };
    let device = Device::flex();
    let golden = Golden::open(folder.join("merged_on_f32_base.safetensors"));
    let ids = inputs(&folder).matrix("input_ids", &device);
    let (mut model, _) = adapted(&folder, "base_f32", "adapter_r8_a16", &device);
    let logits = |m: &Llama| values(m.forward(ids.clone(), &EVALUATION));
    let before = logits(&model);

    let (report, undo) = merge(&mut model, MergeInto::BaseFormat, logits).unwrap();
    println!("{report:?}");
    assert!(!model.has_adapter());
    assert_close("merged", &logits(&model), &golden.floats("merged_f32.logits"), TOLERANCE);
    for (path, linear) in model.linears() {
        if path.starts_with("model.layers.0.") {
            let expected = golden.floats(&format!("merged.{path}.weight"));
            assert_close(&path, &values(linear.base.dense_weight()), &expected, 1e-6);
        }
    }
    assert!(report.merge_error.max_abs < 1e-4);
    assert!(report.adapter_effect.max_abs > 0.01, "the adapter does something");
    assert_eq!(report.warnings().count(), 0);

    let difference = unmerge(&mut model, undo, logits).unwrap();
    assert_eq!(difference.max_abs, 0.0);
    assert_eq!(logits(&model), before);
}

/// PEFT's golden merge ran bitsandbytes' CPU build. Merging here rounds by the
/// CUDA rule, which chooses another 8-bit code for a few scales out of
/// thousands: all 4-bit codes agree, and with the CPU's rule everything does.
#[test]
fn merging_into_a_4_bit_base_equals_peft() {
    let Some(folder) = folder() else { return };
    let device = Device::flex();
    let golden = Golden::open(folder.join("merged_on_4bit_base.safetensors"));
    let ids = inputs(&folder).matrix("input_ids", &device);
    let logits = |m: &Llama| values(m.forward(ids.clone(), &EVALUATION));

    let (mut model, _) = adapted(&folder, "base_nf4_dq", "adapter_r8_a16", &device);
    merge_as_bitsandbytes_on_cpu(&mut model, &device);
    for (path, linear) in first_layer(&model) {
        let expected = golden.floats(&format!("requant.{path}"));
        assert_close(&path, &values(linear.base.dense_weight()), &expected, 0.0);
    }
    let as_on_cpu = logits(&model);
    assert_close("merged as on CPU", &as_on_cpu, &golden.floats("merged_4bit.logits"), TOLERANCE);

    let (mut model, _) = adapted(&folder, "base_nf4_dq", "adapter_r8_a16", &device);
    let (report, undo) = merge(&mut model, MergeInto::BaseFormat, logits).unwrap();
    let (mut blocks, mut other) = (0, 0);
    for (path, linear) in first_layer(&model) {
        let expected = golden.floats(&format!("requant.{path}"));
        for (found, expected) in values(linear.base.dense_weight()).chunks(64).zip(expected.chunks(64)) {
            blocks += 1;
            // One step of the 8-bit map moves a whole block by up to 2 %.
            let scale = expected.iter().fold(0.0_f32, |m, e| m.max(e.abs()));
            let d = max_difference(found, expected);
            assert!(d <= 0.02 * scale, "{path}: a code differs, not only a scale");
            other += usize::from(d > 0.0);
        }
    }
    println!("{other} of {blocks} blocks have another scale than on CPU");
    assert!(other * 100 <= blocks);
    let d = max_difference(&logits(&model), &as_on_cpu);
    // A fiftieth of what requantising itself moves the logits.
    println!("logits by CUDA's and the CPU's rule: max |difference| {d:.2e}");
    assert!(d < report.merge_error.max_abs / 50.0);

    for layer in &report.layers {
        println!("{layer}");
        assert!(!layer.erased(), "this adapter is large enough to survive");
    }
    unmerge(&mut model, undo, logits).unwrap();
    // Merging to dense keeps what requantising rounds away.
    let (dense, _) = merge(&mut model, MergeInto::Dense, logits).unwrap();
    println!("merge error: {:?} requantised, {:?} dense", report.merge_error, dense.merge_error);
    assert!(dense.merge_error.max_abs < 1e-4);
    assert!(report.merge_error.max_abs > 100.0 * dense.merge_error.max_abs);
}

fn first_layer(model: &Llama) -> impl Iterator<Item = (String, &LoraLinear)> {
    model.linears().into_iter().filter(|(path, _)| path.starts_with("model.layers.0."))
}

fn merge_as_bitsandbytes_on_cpu(model: &mut Llama, device: &Device) {
    let options = QuantizeOptions { rounding: Rounding::BnbCpu, ..QuantizeOptions::default() };
    for (path, linear) in model.linears_mut() {
        let update = linear.adapter.take().unwrap().delta();
        let sum = linear.base.dense_weight() + update;
        let shape = sum.dims();
        let config = QuantConfig::default();
        let packed =
            QuantizedTensor::quantize_with(&path, &values(sum)[..], &shape, &config, &options).unwrap();
        let quant = QuantLinear::from_quantized(packed, None, device).unwrap();
        linear.base = BaseLinear::Quant(quant);
    }
}

#[test]
fn a_small_update_is_reported_as_erased_by_requantising() {
    let Some(folder) = folder() else { return };
    let device = Device::flex();
    let ids = inputs(&folder).matrix("input_ids", &device);
    let (mut model, _) = adapted(&folder, "base_nf4_dq", "adapter_r8_a16", &device);
    for (_, linear) in model.linears_mut() {
        let adapter = linear.adapter.as_mut().unwrap();
        let b = adapter.lora_b.val() * 0.01;
        adapter.lora_b = Param::from_tensor(b);
    }
    let logits = |m: &Llama| values(m.forward(ids.clone(), &EVALUATION));
    let (report, undo) = merge(&mut model, MergeInto::BaseFormat, logits).unwrap();
    assert_eq!(report.warnings().count(), report.layers.len());
    let warning = report.warnings().next().unwrap().to_string();
    assert!(warning.contains("self_attn.q_proj") && warning.contains("lost"), "{warning}");
    unmerge(&mut model, undo, logits).unwrap();
    let (report, _) = merge(&mut model, MergeInto::Dense, logits).unwrap();
    assert_eq!(report.warnings().count(), 0);
}

#[test]
fn a_model_without_an_adapter_has_nothing_to_save_or_merge() {
    let Some(folder) = folder() else { return };
    let mut model = model(&folder, "base_f32", &Device::flex());
    let out = tempfile::tempdir().unwrap();
    let saved = save_peft(&model, &LoraConfig::default(), None, out.path());
    assert!(matches!(saved, Err(LoraError::NoAdapter { action: "save" })));
    let merged = merge(&mut model, MergeInto::Dense, |_| Vec::new());
    assert!(matches!(merged, Err(LoraError::NoAdapter { action: "merge" })));
}
