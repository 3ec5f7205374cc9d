//! Adapters on a small host: attaching, dropout, storing, merging.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Distribution, Tensor, TensorData};
use camelid_lora::{
    AdapterHost, FileError, ForwardContext, LoraConfig, LoraError, LoraLinear, MergeInto, PeftNote, Targets,
    attach, detach, load_peft, merge, save_peft, unmerge,
};
use camelid_quant::{BaseLinear, DenseLinear, Format, QuantConfig, QuantLinear, QuantizedTensor};

const EVALUATION: ForwardContext = ForwardContext::evaluation();

/// Two layers one after the other.
#[derive(Module, Debug)]
struct Pair {
    up: LoraLinear,
    down: LoraLinear,
}

impl Pair {
    fn dense(device: &Device) -> Self {
        Self::new(|values, shape| {
            let weight = Tensor::from_data(TensorData::new(values, shape), device);
            BaseLinear::Dense(DenseLinear::new(weight, Some(Tensor::ones([shape[0]], device))))
        })
    }

    fn packed(config: &QuantConfig, device: &Device) -> Self {
        Self::new(|values, shape| {
            let q = QuantizedTensor::quantize("w", &values, &shape, config).unwrap();
            let bias = Tensor::ones([shape[0]], device);
            BaseLinear::Quant(QuantLinear::from_quantized(q, Some(bias), device).unwrap())
        })
    }

    fn new(base: impl Fn(Vec<f32>, [usize; 2]) -> BaseLinear) -> Self {
        let values = |n: usize, step: usize| -> Vec<f32> {
            (0..n).map(|i| ((i * step) % 211) as f32 / 211.0 - 0.5).collect()
        };
        Self {
            up: LoraLinear::new(base(values(96 * 64, 37), [96, 64])),
            down: LoraLinear::new(base(values(32 * 96, 53), [32, 96])),
        }
    }

    fn forward(&self, x: Tensor<2>, ctx: &ForwardContext) -> Vec<f32> {
        let y = self.down.forward(self.up.forward(x, ctx), ctx);
        y.into_data().iter::<f32>().collect()
    }
}

impl AdapterHost for Pair {
    fn linears(&self) -> Vec<(String, &LoraLinear)> {
        vec![("model.0.up".into(), &self.up), ("model.0.down".into(), &self.down)]
    }
    fn linears_mut(&mut self) -> Vec<(String, &mut LoraLinear)> {
        vec![("model.0.up".into(), &mut self.up), ("model.0.down".into(), &mut self.down)]
    }
}

fn config() -> LoraConfig {
    LoraConfig { r: 4, lora_alpha: 8.0, lora_dropout: 0.25, ..LoraConfig::default() }
}

/// Adapters whose B is not zero.
fn trained(mut model: Pair, size: f64, device: &Device) -> Pair {
    device.seed(17);
    for (_, linear) in model.linears_mut() {
        if let Some(adapter) = &mut linear.adapter {
            let shape = adapter.lora_b.dims();
            let b = Tensor::random(shape, Distribution::Normal(0.0, size), device);
            adapter.lora_b = Param::from_tensor(b);
        }
    }
    model
}

fn input(device: &Device) -> Tensor<2> {
    let values: Vec<f32> = (0..5 * 64).map(|i| ((i * 29) % 97) as f32 / 97.0 - 0.5).collect();
    Tensor::from_data(TensorData::new(values, [5, 64]), device)
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_fresh_adapter_changes_nothing_and_is_bounded_by_its_fan_in() {
    let device = Device::flex();
    let base = Pair::dense(&device);
    let before = base.forward(input(&device), &EVALUATION);
    let model = attach(base, &config(), 3, &device).unwrap();
    assert_eq!(model.forward(input(&device), &EVALUATION), before);

    let adapter = model.up.adapter.as_ref().unwrap();
    let a: Vec<f32> = adapter.lora_a.val().into_data().iter::<f32>().collect();
    let bound = 1.0 / 64.0_f32.sqrt();
    assert!(a.iter().all(|v| v.abs() <= bound));
    assert!(a.iter().any(|v| *v > 0.9 * bound) && a.iter().any(|v| *v < -0.9 * bound));
    assert_eq!((adapter.r(), adapter.scale()), (4, 2.0));
    assert_eq!(adapter.num_params(), config().parameters_for("model.0.up", 96, 64).unwrap());
}

#[test]
fn an_adapter_depends_on_its_seed_and_path_not_on_its_neighbours() {
    let device = Device::flex();
    let a = |targets: &[&str], seed| {
        let config = LoraConfig {
            target_modules: Targets::Names(targets.iter().map(|t| t.to_string()).collect()),
            ..config()
        };
        let model = attach(Pair::dense(&device), &config, seed, &device).unwrap();
        model.down.adapter.unwrap().lora_a.val().into_data()
    };
    assert_eq!(a(&["down"], 3), a(&["up", "down"], 3));
    assert_ne!(a(&["down"], 3), a(&["down"], 4));
}

#[test]
fn only_the_adapter_is_trainable() {
    struct Trainable(Vec<usize>);
    impl ModuleVisitor for Trainable {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.val().is_require_grad() {
                self.0.push(param.val().shape().num_elements());
            }
        }
    }
    let device = Device::flex().autodiff();
    let model = attach(Pair::dense(&device), &config(), 3, &device).unwrap();
    let mut trainable = Trainable(Vec::new());
    model.visit(&mut trainable);
    assert_eq!(trainable.0, [4 * 64, 96 * 4, 4 * 96, 32 * 4]);
}

#[test]
fn dropout_acts_in_training_only_and_repeats_with_its_seed() {
    let device = Device::flex();
    let model = attach(Pair::dense(&device), &config(), 3, &device).unwrap();
    let model = trained(model, 0.3, &device);
    let run = |ctx| model.forward(input(&device), &ctx);
    let (one, two) = (ForwardContext::training(1), ForwardContext::training(2));
    assert_eq!(run(one), run(one));
    assert_ne!(run(one), run(two));
    assert_ne!(run(one), run(EVALUATION));
    assert_eq!(run(EVALUATION), run(EVALUATION));
}

#[test]
fn a_second_adapter_is_refused_and_a_detached_one_is_gone() {
    let device = Device::flex();
    let model = attach(Pair::dense(&device), &config(), 3, &device).unwrap();
    let twice = attach(model.clone(), &config(), 3, &device).unwrap_err();
    assert!(matches!(twice, LoraError::AlreadyAttached { layer } if layer == "model.0.up"));
    let mut model = model;
    assert_eq!(detach(&mut model), 2);
    assert!(!model.has_adapter());
}

#[test]
fn a_saved_adapter_loads_with_the_same_bits() {
    let device = Device::flex();
    let model = trained(attach(Pair::dense(&device), &config(), 3, &device).unwrap(), 0.3, &device);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep").join("adapter");
    save_peft(&model, &config(), Some("base"), &path).unwrap();
    let (loaded, read) = load_peft(Pair::dense(&device), &path, &device).unwrap();
    assert_eq!(read.notes, []);
    // `all-linear` is stored as the names it stood for.
    let names = Targets::Names(vec!["down".into(), "up".into()]);
    assert_eq!(read.config, LoraConfig { target_modules: names, ..config() });
    assert_eq!(loaded.forward(input(&device), &EVALUATION), model.forward(input(&device), &EVALUATION));
    let left: Vec<_> = std::fs::read_dir(&path).unwrap().collect();
    assert_eq!(left.len(), 2, "no temporary file stays behind");
}

#[test]
fn adapter_files_that_do_not_fit_are_refused_by_name() {
    let device = Device::flex();
    let model = attach(Pair::dense(&device), &config(), 3, &device).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let weights = dir.path().join("adapter_model.safetensors");
    let edit_settings = |field: &str, value: serde_json::Value| {
        let path = dir.path().join("adapter_config.json");
        let text = std::fs::read_to_string(&path).unwrap();
        let mut settings: serde_json::Value = serde_json::from_str(&text).unwrap();
        settings[field] = value;
        std::fs::write(&path, settings.to_string()).unwrap();
    };
    let load = || load_peft(Pair::dense(&device), dir.path(), &device).unwrap_err().to_string();

    // Another rank than the settings say.
    save_peft(&model, &config(), None, dir.path()).unwrap();
    edit_settings("r", 3.into());
    let message = load();
    assert!(message.contains("lora_A.weight` has shape [4, 64], expected [3, 64]"), "{message}");

    // A layer that the settings leave out.
    let only_up = Targets::Names(vec!["up".into()]);
    let settings = LoraConfig { target_modules: only_up, ..config() };
    save_peft(&model, &settings, None, dir.path()).unwrap();
    let (partly, loaded) = load_peft(Pair::dense(&device), dir.path(), &device).unwrap();
    assert!(partly.up.adapter.is_some() && partly.down.adapter.is_none());
    let said = loaded.notes[0].to_string();
    assert!(said.contains("base_model.model.model.0.down.lora_A.weight"), "{said}");

    // A target that the model does not have.
    edit_settings("target_modules", "q_.*".into());
    let message = load();
    assert!(message.contains("adapter_config.json: target_modules: `q_.*` matches no linear"), "{message}");

    // A layer that the file leaves out.
    save_peft(&model, &config(), None, dir.path()).unwrap();
    let half = attach(Pair::dense(&device), &settings, 3, &device).unwrap();
    let other = tempfile::tempdir().unwrap();
    save_peft(&half, &settings, None, other.path()).unwrap();
    std::fs::copy(other.path().join("adapter_model.safetensors"), &weights).unwrap();
    // As in PEFT it stays what the base has, which is said.
    let (partly, loaded) = load_peft(Pair::dense(&device), dir.path(), &device).unwrap();
    assert!(partly.up.adapter.is_some() && partly.down.adapter.is_none());
    assert_eq!(loaded.notes, [PeftNote::ModulesWithoutFactors(vec!["model.0.down".into()])]);

    // A truncated file.
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() - 10]).unwrap();
    let message = load();
    assert!(message.contains("adapter_model.safetensors: not a valid safetensors file"), "{message}");

    std::fs::remove_file(&weights).unwrap();
    let message = load();
    assert!(message.contains("adapter_model.safetensors"), "{message}");
}

#[test]
fn settings_other_than_the_adapters_are_not_saved() {
    let device = Device::flex();
    let model = attach(Pair::dense(&device), &config(), 3, &device).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (other, expected) in [
        (LoraConfig { r: 3, ..config() }, "layer `model.0.down`: `r` of its adapter is 4;"),
        (
            LoraConfig { lora_alpha: 16.0, ..config() },
            "`scale` of its adapter is 2; the settings to save give 4",
        ),
        (LoraConfig { use_rslora: true, ..config() }, "`scale` of its adapter is 2;"),
    ] {
        let message = save_peft(&model, &other, None, dir.path()).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn weights_that_cannot_be_replaced_are_not_left_with_old_settings() {
    let device = Device::flex();
    let model = attach(Pair::dense(&device), &config(), 3, &device).unwrap();
    let dir = tempfile::tempdir().unwrap();
    save_peft(&model, &config(), None, dir.path()).unwrap();
    // A folder in the weights' place: the rename fails.
    let weights = dir.path().join("adapter_model.safetensors");
    std::fs::remove_file(&weights).unwrap();
    std::fs::create_dir_all(weights.join("inside")).unwrap();
    assert!(matches!(
        save_peft(&model, &config(), None, dir.path()),
        Err(LoraError::File(FileError::Io { .. }))
    ));
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["adapter_model.safetensors"]);
}

#[test]
fn a_merged_weight_that_is_not_finite_is_refused_by_layer_and_place() {
    let device = Device::flex();
    let half = |mut model: Pair| {
        for (_, linear) in model.linears_mut() {
            if let BaseLinear::Dense(dense) = &mut linear.base {
                dense.weight =
                    Param::from_tensor(dense.weight.val().cast(DType::F16)).set_require_grad(false);
            }
        }
        model
    };
    let with_b = |model: Pair, value: f32| {
        let mut model = attach(model, &config(), 3, &device).unwrap();
        let adapter = model.up.adapter.as_mut().unwrap();
        adapter.lora_b = Param::from_tensor(Tensor::full([96, 4], value, &device));
        model
    };
    // Finite in f32, beyond f16; and infinite before it is stored.
    for (mut model, into) in [
        (with_b(half(Pair::dense(&device)), 1e9), MergeInto::BaseFormat),
        (with_b(Pair::dense(&device), f32::INFINITY), MergeInto::Dense),
        (with_b(Pair::packed(&QuantConfig::default(), &device), f32::INFINITY), MergeInto::Dense),
    ] {
        let error = merge(&mut model, into, |m| m.forward(input(&device), &EVALUATION)).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("layer `model.0.up`: the merged weight would be"), "{message}");
        assert!(message.contains("at flat index"), "{message}");
        assert!(model.has_adapter(), "the model is unchanged");
    }
}

#[test]
fn merging_and_unmerging_a_dense_base_is_exact_both_ways() {
    let device = Device::flex();
    let mut model = trained(attach(Pair::dense(&device), &config(), 3, &device).unwrap(), 0.1, &device);
    let logits = |m: &Pair| m.forward(input(&device), &EVALUATION);
    let before = logits(&model);
    let (report, undo) = merge(&mut model, MergeInto::BaseFormat, logits).unwrap();
    assert!(!model.has_adapter());
    assert!(largest_difference(&logits(&model), &before) == report.merge_error.max_abs);
    assert!(report.merge_error.max_abs < 1e-4, "{report:?}");
    assert!(report.adapter_effect.max_abs > 0.1);
    assert!(report.layers.iter().all(|l| l.lost_share.abs() < 1e-4 && l.update_norm > 0.0));
    assert_eq!(unmerge(&mut model, undo, logits).unwrap().max_abs, 0.0);
    assert_eq!(logits(&model), before);
}

#[test]
fn merging_into_a_half_precision_base_keeps_its_type() {
    let device = Device::flex();
    let mut model = Pair::dense(&device);
    for (_, linear) in model.linears_mut() {
        if let BaseLinear::Dense(dense) = &mut linear.base {
            let half = dense.weight.val().cast(DType::BF16);
            dense.weight = Param::from_tensor(half).set_require_grad(false);
        }
    }
    let mut model = trained(attach(model, &config(), 3, &device).unwrap(), 0.1, &device);
    let logits = |m: &Pair| m.forward(input(&device), &EVALUATION);
    let (report, _) = merge(&mut model, MergeInto::BaseFormat, logits).unwrap();
    let BaseLinear::Dense(dense) = &model.up.base else { panic!("still dense") };
    assert_eq!(dense.weight.val().dtype(), DType::BF16);
    assert!(report.merge_error.max_abs > 0.0 && report.merge_error.max_abs < 0.1);
}

#[test]
fn requantising_erases_a_small_update_and_says_so() {
    let device = Device::flex();
    let logits = |m: &Pair| m.forward(input(&device), &EVALUATION);
    for format in [Format::Nf4, Format::Fp4, Format::Int4] {
        for double_quant in [false, true] {
            let packed = QuantConfig { format, double_quant, ..QuantConfig::default() };
            let adapted = |size| {
                let model = attach(Pair::packed(&packed, &device), &config(), 3, &device).unwrap();
                trained(model, size, &device)
            };
            let mut small = adapted(1e-4);
            let (report, undo) = merge(&mut small, MergeInto::BaseFormat, logits).unwrap();
            assert_eq!(report.warnings().count(), 2, "{packed:?} {report:?}");
            assert_eq!(unmerge(&mut small, undo, logits).unwrap().max_abs, 0.0);

            let (report, _) = merge(&mut small, MergeInto::Dense, logits).unwrap();
            assert_eq!(report.warnings().count(), 0);
            assert!(report.merge_error.max_abs < 1e-4);

            let mut large = adapted(0.3);
            let (report, _) = merge(&mut large, MergeInto::BaseFormat, logits).unwrap();
            assert_eq!(report.warnings().count(), 0, "{packed:?} {report:?}");
            let BaseLinear::Quant(quant) = &large.up.base else { panic!("still packed") };
            assert_eq!(quant.spec().code, packed.format.code());
            assert_eq!(quant.spec().nested.is_some(), double_quant);
            assert!(quant.bias.is_some(), "the bias stays");
        }
    }
}

#[test]
fn a_closure_of_changing_length_leaves_the_model_as_it_was() {
    let device = Device::flex();
    let mut model = trained(attach(Pair::dense(&device), &config(), 3, &device).unwrap(), 0.1, &device);
    let before = model.forward(input(&device), &EVALUATION);
    let mut calls = 0;
    let result = merge(&mut model, MergeInto::Dense, |_| {
        calls += 1;
        vec![0.0; calls]
    });
    assert!(matches!(result, Err(LoraError::Logits { before: 1, after: 2 })));
    assert_eq!(model.forward(input(&device), &EVALUATION), before);
}
