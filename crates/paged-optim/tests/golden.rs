//! Trajectories against bitsandbytes 0.50.2 (CPU) and torch 2.15.

use std::path::Path;

use camelid_paged_optim::{AdamWConfig, Moments, PagedAdamW, Rounding, StateBits, sum_of_squares};
use safetensors::SafeTensors;

fn f32s(st: &SafeTensors, name: &str) -> Vec<f32> {
    let view = st.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    bytemuck::pod_collect_to_vec(view.data())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Runs one of bitsandbytes' cases and checks every parameter after every step and the state at
/// the end.
fn run_case(path: &Path, case: &str, inputs: &str, state: StateBits, weight_decay: f64) {
    let bytes = std::fs::read(path).unwrap();
    let st = SafeTensors::deserialize(&bytes).unwrap();
    let mut p = f32s(&st, &format!("{inputs}.p0"));
    let n = p.len();
    let grads = f32s(&st, &format!("{inputs}.grads"));
    let steps = f32s(&st, &format!("{case}.p_steps"));
    let mut optim = PagedAdamW::new(AdamWConfig {
        weight_decay,
        state,
        rounding: Rounding::BnbCpu,
        page_elements: 1024,
        ..AdamWConfig::default()
    })
    .unwrap();
    for (i, (g, expected)) in grads.chunks(n).zip(steps.chunks(n)).enumerate() {
        optim.step("p", 1e-2, &mut p, g).unwrap();
        // bitsandbytes rounds three times a step and divides approximately: up to a unit of the
        // last place each step, 3e-8 for the largest parameters (0.5).
        let worst = p.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 3e-8 * (i + 1) as f32, "{case} step {}: differs by {worst:e}", i + 1);
    }
    match optim.moments("p").unwrap().unwrap() {
        Moments::Bits32 { exp_avg, exp_avg_sq } => {
            assert_eq!(bits(&exp_avg), bits(&f32s(&st, &format!("{case}.state.state1"))));
            assert_eq!(bits(&exp_avg_sq), bits(&f32s(&st, &format!("{case}.state.state2"))));
        }
        Moments::Bits8 { state1, state2, absmax1, absmax2 } => {
            assert_eq!(state1, st.tensor(&format!("{case}.state.state1")).unwrap().data());
            assert_eq!(state2, st.tensor(&format!("{case}.state.state2")).unwrap().data());
            assert_eq!(bits(&absmax1), bits(&f32s(&st, &format!("{case}.state.absmax1"))));
            assert_eq!(bits(&absmax2), bits(&f32s(&st, &format!("{case}.state.absmax2"))));
        }
    }
}

#[test]
fn trajectories_equal_bitsandbytes_and_its_state_to_the_last_bit() {
    let Some(dir) = camelid_tests::oracles() else { return };
    let path = dir.join("bnb/optim_trajectories_f32.safetensors");
    run_case(&path, "AdamW", "n6144", StateBits::Bits32, 0.01);
    run_case(&path, "AdamW8bit", "n6144", StateBits::Bits8, 0.01);
    run_case(&path, "PagedAdamW8bit", "n6144", StateBits::Bits8, 0.01);
    run_case(&path, "AdamW8bit_small", "AdamW8bit_small", StateBits::Bits8, 0.01);
    run_case(&path, "AdamW8bit_ragged", "AdamW8bit_ragged", StateBits::Bits8, 0.0);
}

/// The LoRA parameters of the tiny LLaMA after one step from the stored gradients, clipped to
/// `max_norm`.
fn first_lora_step(dir: &Path, config: AdamWConfig, lr: f64, max_norm: Option<f64>, file: &str) {
    let read = |name: &str| std::fs::read(dir.join("tiny_llama").join(name)).unwrap();
    let (grads, adapter, after) =
        (read("lora_grads.safetensors"), read("adapter_r8_a16/adapter_model.safetensors"), read(file));
    let grads = SafeTensors::deserialize(&grads).unwrap();
    let adapter = SafeTensors::deserialize(&adapter).unwrap();
    let after = SafeTensors::deserialize(&after).unwrap();
    let names: Vec<&str> = grads.names().into_iter().filter(|n| n.contains("lora_")).collect();
    assert_eq!(names.len(), 28);

    let squares: f64 = names.iter().map(|n| sum_of_squares(&f32s(&grads, n))).sum();
    let norm = squares.sqrt();
    let golden = f64::from(f32s(&grads, "grad_norm")[0]);
    assert!((norm / golden - 1.0).abs() < 1e-6, "gradient norm {norm}, torch {golden}");
    let scale = max_norm.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0)) as f32;

    let mut optim = PagedAdamW::new(config).unwrap();
    for name in names {
        let mut p = f32s(&adapter, &name.replace(".default", ""));
        let g: Vec<f32> = f32s(&grads, name).iter().map(|g| g * scale).collect();
        optim.step(name, lr, &mut p, &g).unwrap();
        let expected = f32s(&after, &format!("step1.{name}"));
        let worst = p.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 6e-8, "{file} {name}: differs by {worst:e}");
    }
}

#[test]
fn the_first_lora_step_equals_torch_and_bitsandbytes() {
    let Some(dir) = camelid_tests::oracles() else { return };
    let plain = AdamWConfig::default();
    first_lora_step(&dir, plain.clone(), 1e-3, None, "lora_after_AdamW.safetensors");
    let paged8 = AdamWConfig { state: StateBits::Bits8, budget: Some(0), ..plain.clone() };
    first_lora_step(&dir, paged8, 1e-3, None, "lora_after_PagedAdamW8bit.safetensors");
    let decayed = AdamWConfig { beta2: 0.95, weight_decay: 0.1, ..plain };
    first_lora_step(&dir, decayed, 2e-3, Some(0.3), "lora_after_AdamW_wd_clip.safetensors");
}
