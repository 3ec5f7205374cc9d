//! Random tensors, and gradients held against finite differences of a reference.
#![allow(dead_code)] // each test file uses its part

use std::process::Command;

use burn::tensor::{Device, Tensor, TensorData};
use camelid_kernels::{ISA_VARIABLE, Isa};
use proptest::prelude::ProptestConfig;

/// The name of the device under test unless `CAMELID_TEST_DEVICE` says another: the CPU's
/// `flex`, or the first of CubeCL's runtimes that was compiled in.
const DEVICE: &str = if cfg!(feature = "cube-cpu") {
    "cpu"
} else if cfg!(feature = "cuda") {
    "cuda"
} else if cfg!(feature = "vulkan") {
    "vulkan"
} else {
    "flex"
};

fn device_name() -> String {
    std::env::var("CAMELID_TEST_DEVICE").unwrap_or_else(|_| DEVICE.to_owned())
}

/// The device under test.
pub fn device() -> Device {
    match device_name().as_str() {
        "flex" => Device::flex(),
        #[cfg(feature = "cube-cpu")]
        "cpu" => Device::cpu(),
        #[cfg(feature = "cuda")]
        "cuda" => Device::cuda(0),
        #[cfg(feature = "vulkan")]
        "vulkan" => Device::vulkan(burn::tensor::DeviceKind::DefaultDevice),
        other => panic!("CAMELID_TEST_DEVICE is `{other}`, which this build has no device for"),
    }
}

/// CubeCL's CPU runtime, which is for correctness and takes long.
pub fn is_slow() -> bool {
    device_name() == "cpu"
}

/// `cases` on a fast device, a quarter on a slow one.
pub fn cases(cases: u32) -> ProptestConfig {
    let cases = if is_slow() { cases.div_ceil(4) } else { cases };
    if cfg!(feature = "cube") {
        // These files are then another package's tests, whose sources proptest does not find.
        return ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    }
    ProptestConfig::with_cases(cases)
}

/// Values in -1..1 that look random; equal seeds give equal values.
pub fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678);
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
        })
        .collect()
}

/// As f64.
pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// A tensor on the given device.
pub fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

/// The same values as the middle of a larger tensor, permuted in memory: neither
/// contiguous nor at offset 0.
pub fn view<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    let x = tensor(values, shape, device);
    let edge = Tensor::<D>::zeros(shape, device);
    let stacked = Tensor::cat(vec![edge.clone(), x, edge], 0);
    let middle = stacked.narrow(0, shape[0], shape[0]);
    if D < 2 {
        return middle;
    }
    // Written transposed, read back transposed again.
    let turned = middle.swap_dims(0, D - 1);
    let turned_shape = turned.dims();
    tensor(&list(turned), turned_shape, device).swap_dims(0, D - 1)
}

/// The values of a tensor.
pub fn list<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().expect("f32")
}

/// Asserts closeness relative to the largest magnitude of `want` (at least 1).
#[track_caller]
pub fn close(what: &str, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    let scale = want.iter().fold(1f64, |a, b| a.max(b.abs()));
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(g) - w).abs();
        assert!(error <= tolerance * scale, "{what}[{i}]: got {g}, want {w} (scale {scale})");
    }
}

/// Holds `grad` against central differences of `f`, whose gradient with respect to
/// `at` it claims to be. Checks up to 40 coordinates spread over the input.
#[track_caller]
pub fn gradient(what: &str, grad: &[f32], at: &[f32], f: impl Fn(&[f64]) -> f64) {
    assert_eq!(grad.len(), at.len(), "{what}: length of the gradient");
    let scale = grad.iter().fold(1f64, |a, &b| a.max(f64::from(b).abs()));
    let mut x = wide(at);
    let every = (at.len() / 40).max(1);
    for i in (0..at.len()).step_by(every) {
        let (old, step) = (x[i], 1e-4);
        x[i] = old + step;
        let above = f(&x);
        x[i] = old - step;
        let below = f(&x);
        x[i] = old;
        let want = (above - below) / (2.0 * step);
        let error = (f64::from(grad[i]) - want).abs();
        assert!(error < 3e-5 * scale, "{what}[{i}]: got {}, finite difference {want}", grad[i]);
    }
}

/// Σ aᵢ·bᵢ, for turning an output into a scalar with known upstream gradient.
pub fn inner(a: &[f64], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, &b)| a * f64::from(b)).sum()
}

/// The bits of floats, for exact comparison.
pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Runs `f` in a pool of `threads` threads.
pub fn with_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool").install(f)
}

/// Runs this test binary again on each instruction set of the processor but the active
/// one, in processes of their own.
#[track_caller]
pub fn pass_on_every_instruction_set() {
    const INSIDE: &str = "CAMELID_TESTS_ON_ONE_ISA";
    if std::env::var_os(INSIDE).is_some() || device_name() != "flex" {
        return;
    }
    let binary = std::env::current_exe().expect("the path of this test binary");
    for isa in Isa::available().filter(|&isa| isa != Isa::active()) {
        let run = Command::new(&binary).env(ISA_VARIABLE, isa.name()).env(INSIDE, "1").output();
        let run = run.expect("a test binary starts");
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success(), "on {isa}:\n{said}{}", String::from_utf8_lossy(&run.stderr));
    }
}
