//! Paging changes where state is, never what it is.

use camelid_paged_optim::{AdamWConfig, Moments, OptimError, PagedAdamW, Spill, StateBits};
use proptest::prelude::*;

/// A cheap deterministic stream of values around zero.
fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / 16_777_216.0 - 0.5) * 0.1
        })
        .collect()
}

struct Outcome {
    params: Vec<Vec<u32>>,
    moments: Vec<Moments>,
    optim: PagedAdamW,
}

/// Four steps over tensors of these sizes.
fn train(sizes: &[usize], config: AdamWConfig) -> Outcome {
    let mut optim = PagedAdamW::new(config).unwrap();
    let mut params: Vec<Vec<f32>> = sizes.iter().enumerate().map(|(i, n)| noise(i as u64 + 1, *n)).collect();
    for step in 0..4 {
        for (i, p) in params.iter_mut().enumerate() {
            let grad = noise(1000 + 17 * step + i as u64, p.len());
            optim.step(&format!("tensor.{i}"), 1e-2, p, &grad).unwrap();
        }
    }
    let keys: Vec<String> = optim.keys().map(str::to_owned).collect();
    let moments = keys.iter().map(|k| optim.moments(k).unwrap().unwrap()).collect();
    let params = params.iter().map(|p| p.iter().map(|v| v.to_bits()).collect()).collect();
    Outcome { params, moments, optim }
}

fn saved(optim: &mut PagedAdamW) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("optimizer.safetensors");
    optim.save(&path).unwrap();
    std::fs::read(path).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_budget_gives_the_same_bits(
        sizes in prop::collection::vec(1_usize..9000, 1..5),
        eight in any::<bool>(),
        page in 1_usize..8,
        budget in 0_u64..100_000,
    ) {
        let state = if eight { StateBits::Bits8 } else { StateBits::Bits32 };
        let resident = AdamWConfig { state, ..AdamWConfig::default() };
        let mut reference = train(&sizes, resident.clone());
        let reference_file = saved(&mut reference.optim);
        for spill in [Spill::Host, Spill::File(std::env::temp_dir())] {
            for budget in [0, budget] {
                let config = AdamWConfig {
                    budget: Some(budget),
                    spill: spill.clone(),
                    page_elements: page * 256,
                    ..resident.clone()
                };
                let mut paged = train(&sizes, config);
                prop_assert_eq!(&paged.params, &reference.params);
                prop_assert_eq!(&paged.moments, &reference.moments);
                prop_assert_eq!(&saved(&mut paged.optim), &reference_file);
                let traffic = paged.optim.traffic();
                prop_assert!(traffic.resident_bytes <= budget);
                prop_assert_eq!(traffic.total_bytes, reference.optim.traffic().total_bytes);
            }
        }
    }
}

#[test]
fn traffic_counts_pages_of_a_large_tensor() {
    // 10 pages of 256 parameters: 2 KiB each; room for 4.
    let config = |budget| AdamWConfig { budget, page_elements: 256, ..AdamWConfig::default() };
    let mut optim = PagedAdamW::new(config(Some(4 * 2048))).unwrap();
    let (mut p, g) = (noise(1, 2560), noise(2, 2560));
    optim.step("w", 1e-3, &mut p, &g).unwrap();
    let first = optim.traffic();
    assert_eq!((first.pages_out, first.pages_in, first.stalls), (6, 0, 0));
    assert_eq!((first.resident_bytes, first.total_bytes), (4 * 2048, 10 * 2048));
    // A walk in order over more than fits misses every page: least recently used is what it is.
    optim.step("w", 1e-3, &mut p, &g).unwrap();
    let second = optim.traffic().since(&first);
    assert_eq!((second.pages_in, second.pages_out, second.stalls), (10, 10, 10));
    assert_eq!((second.bytes_in, second.bytes_out), (10 * 2048, 10 * 2048));

    let mut resident = PagedAdamW::new(config(None)).unwrap();
    resident.step("w", 1e-3, &mut p, &g).unwrap();
    assert_eq!((resident.traffic().pages_out, resident.traffic().resident_bytes), (0, 10 * 2048));
}

#[test]
fn the_least_recently_used_page_leaves_first() {
    let config = AdamWConfig { budget: Some(2 * 2048), page_elements: 256, ..Default::default() };
    let mut optim = PagedAdamW::new(config).unwrap();
    let g = noise(3, 256);
    let touch = |optim: &mut PagedAdamW, key: &str| {
        let before = optim.traffic();
        optim.step(key, 1e-3, &mut noise(4, 256), &g).unwrap();
        optim.traffic().since(&before).pages_in
    };
    touch(&mut optim, "a");
    touch(&mut optim, "b");
    touch(&mut optim, "a");
    touch(&mut optim, "c"); // b leaves
    assert_eq!(touch(&mut optim, "a"), 0);
    assert_eq!(touch(&mut optim, "b"), 1);
}

#[test]
fn wrong_lengths_rates_and_settings_are_refused_and_change_nothing() {
    let mut optim = PagedAdamW::new(AdamWConfig::default()).unwrap();
    let mut p = noise(1, 10);
    optim.step("w", 1e-3, &mut p, &noise(2, 10)).unwrap();
    let before = (p.clone(), optim.moments("w").unwrap());
    let short = optim.step("w", 1e-3, &mut p, &noise(2, 9)).unwrap_err();
    assert_eq!(short.to_string(), "`w`: the gradient has 9 elements, expected 10");
    let other = optim.step("w", 1e-3, &mut noise(1, 11), &noise(2, 11)).unwrap_err();
    assert!(matches!(other, OptimError::Length { found: 11, expected: 10, .. }), "{other}");
    let rate = optim.step("w", f64::NAN, &mut p, &noise(2, 10)).unwrap_err();
    assert!(rate.to_string().contains("learning rate"), "{rate}");
    assert_eq!((p, optim.moments("w").unwrap()), before);
    for bad in [
        AdamWConfig { page_elements: 100, ..AdamWConfig::default() },
        AdamWConfig { beta2: 1.0, ..AdamWConfig::default() },
        AdamWConfig { weight_decay: -1.0, ..AdamWConfig::default() },
    ] {
        assert!(matches!(PagedAdamW::new(bad), Err(OptimError::Setting { .. })));
    }
}

#[test]
fn a_tensor_of_many_pages_takes_the_same_step_with_and_without_a_budget() {
    for state in [StateBits::Bits32, StateBits::Bits8] {
        let config = AdamWConfig { state, page_elements: 256, ..AdamWConfig::default() };
        let resident = train(&[200 * 256 + 77, 64 * 256], config.clone());
        let paged = train(&[200 * 256 + 77, 64 * 256], AdamWConfig { budget: Some(0), ..config });
        assert_eq!(resident.params, paged.params);
        assert_eq!(resident.moments, paged.moments);
    }
}

#[test]
fn a_scaled_step_equals_a_step_from_the_scaled_gradient() {
    let mut optims = [0, 1].map(|_| PagedAdamW::new(AdamWConfig::default()).unwrap());
    let (mut p, mut q) = (noise(1, 1000), noise(1, 1000));
    let grad = noise(2, 1000);
    let scaled: Vec<f32> = grad.iter().map(|g| 0.37 * g).collect();
    optims[0].step("p", 0.01, &mut p, &scaled).unwrap();
    optims[1].step_scaled("p", 0.01, 0.37, &mut q, &grad).unwrap();
    assert_eq!(p, q);
    assert_eq!(optims[0].moments("p").unwrap(), optims[1].moments("p").unwrap());
    let error = optims[1].step_scaled("p", 0.01, -1.0, &mut q, &grad).unwrap_err();
    assert!(matches!(error, OptimError::Setting { name: "grad_scale", .. }), "{error}");
    assert_eq!(p, q);
}
