//! One bench: its throughput, and the share of the machine's peak.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};
use camelid_benches::{Machine, Unit, Work};
use camelid_kernels::vjp_seed;
use criterion::{Criterion, Throughput};

/// The device that is measured.
pub fn device() -> Device {
    camelid_benches::device().unwrap_or_else(|error| panic!("{error}"))
}

fn finish(device: &Device) {
    camelid_benches::finish(device).unwrap_or_else(|error| panic!("{error}"));
}

/// Multiplications and additions of a product.
pub fn product(rows: usize, out: usize, inn: usize) -> Work {
    Work { amount: 2.0 * (rows * out * inn) as f64, unit: Unit::Operations }
}

/// Bytes that must be read and written at least.
pub fn bytes(amount: usize) -> Work {
    Work { amount: amount as f64, unit: Unit::Bytes }
}

/// Measures `run`, which returns the time that counts.
pub fn bench(criterion: &mut Criterion, name: &str, work: Work, mut run: impl FnMut() -> Duration) {
    let throughput = match work.unit {
        Unit::Bytes => Throughput::Bytes(work.amount as u64),
        Unit::Operations | Unit::Tokens => Throughput::Elements(work.amount as u64),
    };
    let (group, function) = name.split_once('/').unwrap_or((name, "run"));
    let mut best = Duration::MAX;
    let mut group = criterion.benchmark_group(group);
    group.throughput(throughput);
    group.bench_function(function, |bencher| {
        bencher.iter_custom(|runs| {
            let mut total = Duration::ZERO;
            for _ in 0..runs {
                let time = run();
                best = best.min(time);
                total += time;
            }
            total
        });
    });
    group.finish();
    // A filter may have left it out, and a test run says nothing about speed.
    if best < Duration::MAX && !std::env::args().any(|argument| argument == "--test") {
        print_share(work, best.as_secs_f64());
    }
}

/// The same where all of `run` counts.
pub fn bench_all<R>(criterion: &mut Criterion, name: &str, work: Work, mut run: impl FnMut() -> R) {
    bench(criterion, name, work, || {
        let device = device();
        let start = Instant::now();
        std::hint::black_box(run());
        finish(&device);
        start.elapsed()
    });
}

fn print_share(work: Work, seconds: f64) {
    static MACHINE: OnceLock<Machine> = OnceLock::new();
    let machine = MACHINE.get_or_init(Machine::measure);
    let rate = work.amount / seconds;
    let (rate, unit, peak, what) = match work.unit {
        Unit::Operations => (rate * 1e-9, "GFLOP/s", machine.f32_fma_gflops, "of f32 multiply-adds"),
        Unit::Bytes => (rate * 1e-9, "GB/s", machine.copy_gb_per_second, "of copying"),
        Unit::Tokens => {
            println!("  best: {rate:.0} tokens/s");
            return;
        }
    };
    println!("  best: {rate:.1} {unit}, {:.0} % {what} ({peak:.0} {unit})", 100.0 * rate / peak);
}

/// The backward pass of what `forward` returns; each uses up a forward pass that does not count.
pub fn backward<const D: usize>(
    criterion: &mut Criterion,
    name: &str,
    work: Work,
    forward: impl Fn() -> Tensor<D>,
) {
    bench(criterion, name, work, || {
        let y = forward();
        let dy = Tensor::ones_like(&y);
        let seed = vjp_seed(y, dy.detach());
        let device = device();
        finish(&device);
        let start = Instant::now();
        std::hint::black_box(seed.backward());
        finish(&device);
        start.elapsed()
    });
}
