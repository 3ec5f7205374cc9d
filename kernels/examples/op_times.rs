//! Times of each operation at SmolLM2-135M's shapes: `cargo run -p camelid-kernels --example op_times`.
//!
//! Figures are the best of several runs. `GFLOP/s` counts multiplies and adds of
//! products; `GB/s` counts each operand and result of an elementwise operation once.

use std::hint::black_box;
use std::time::Instant;

use burn::tensor::{DType, Device, Distribution, Int, Tensor, TensorData};
use camelid_kernels::blockwise4::{self, Code4, Rounding};
use camelid_kernels::{
    Dropout, Packed4Spec, causal_attention, linear, linear_cross_entropy, linear4bit, lora_update, rms_norm,
    rotary, swiglu, vjp_seed,
};

const TOKENS: usize = 1024;
const D: usize = 576;
const INTER: usize = 1536;
const HEADS: usize = 9;
const KV: usize = 3;
const HEAD_DIM: usize = 64;
const VOCAB: usize = 49_152;

enum Work {
    /// Floating-point operations.
    Products(f64),
    /// Bytes read and written.
    Bytes(f64),
}

fn main() {
    println!("{} tokens, {} threads", TOKENS, rayon::current_num_threads());
    println!("{:<44} {:>9} {:>9}", "operation", "ms", "");
    elementwise();
    products();
    attention();
    loss();
}

fn random<const N: usize>(shape: [usize; N], device: &Device) -> Tensor<N> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// Best time of `runs`, one more to warm up; `prepare` is not counted.
fn time<T, R>(
    name: &str,
    runs: usize,
    work: Work,
    mut prepare: impl FnMut() -> T,
    mut run: impl FnMut(T) -> R,
) {
    let mut best = f64::INFINITY;
    for _ in 0..=runs {
        let input = prepare();
        let start = Instant::now();
        let output = black_box(run(input));
        best = best.min(start.elapsed().as_secs_f64());
        drop(output);
    }
    let rate = match work {
        Work::Products(flops) => format!("{:.0} GFLOP/s", flops / best * 1e-9),
        Work::Bytes(bytes) => format!("{:.1} GB/s", bytes / best * 1e-9),
    };
    println!("{name:<44} {:>9.3} {rate:>14}", best * 1e3);
}

/// Forward on the plain device, then the backward pass alone on the autodiff one.
fn both<const N: usize>(
    name: &str,
    shapes: &[[usize; N]],
    forward: Work,
    backward: Work,
    f: impl Fn(&[Tensor<N>]) -> Tensor<N>,
) {
    let plain = Device::flex();
    let inputs: Vec<_> = shapes.iter().map(|&shape| random(shape, &plain)).collect();
    time(&format!("{name} forward"), 10, forward, || (), |()| f(&inputs));
    let device = Device::flex().autodiff();
    let inputs: Vec<_> = shapes.iter().map(|&shape| random(shape, &device).require_grad()).collect();
    let prepare = || {
        let y = f(&inputs);
        let dy = random(y.dims(), &device);
        vjp_seed(y, dy)
    };
    time(&format!("{name} backward"), 10, backward, prepare, |seed| seed.backward());
}

fn elementwise() {
    let row = |n: usize| (4 * TOKENS * n) as f64;
    let on = |x: &Tensor<2>| x.device();
    both("rms_norm 576", &[[TOKENS, D]], Work::Bytes(2.0 * row(D)), Work::Bytes(3.0 * row(D)), |x| {
        rms_norm(x[0].clone(), Tensor::ones([D], &on(&x[0])), 1e-5)
    });
    both(
        "swiglu 1536",
        &[[TOKENS, INTER]; 2],
        Work::Bytes(3.0 * row(INTER)),
        Work::Bytes(5.0 * row(INTER)),
        |x| swiglu(x[0].clone(), x[1].clone()),
    );
    both(
        "rotary 9x64",
        &[[1, TOKENS, HEADS, HEAD_DIM]],
        Work::Bytes(2.0 * row(D)),
        Work::Bytes(2.0 * row(D)),
        |x| {
            let device = x[0].device();
            let table = Tensor::ones([TOKENS, HEAD_DIM / 2], &device);
            rotary(x[0].clone(), table.clone(), table)
        },
    );
}

fn products() {
    let flops = |m: usize, out: usize, inn: usize| 2.0 * (m * out * inn) as f64;
    for (out, inn) in [(D, D), (INTER, D), (D, INTER)] {
        let weight: Tensor<2> = random([out, inn], &Device::flex());
        let values = weight.clone().into_data().try_to_vec::<f32>().expect("f32");
        let (mut packed, mut absmax) = (vec![0u8; values.len() / 2], vec![0f32; values.len() / 64]);
        blockwise4::quantize(Code4::Nf4, 64, Rounding::Cuda, &values, &mut packed, &mut absmax);
        let spec = Packed4Spec {
            code: Code4::Nf4,
            out_features: out,
            in_features: inn,
            block_size: 64,
            nested: None,
        };
        let nf4 = |x: &Tensor<2>| {
            let device = x.device();
            let bytes = Tensor::<1, Int>::from_data(
                TensorData::new(packed.clone(), [packed.len()]),
                (&device, DType::U8),
            );
            let absmax = Tensor::from_data(TensorData::new(absmax.clone(), [absmax.len()]), &device);
            move |x: Tensor<2>| linear4bit(x, bytes.clone(), absmax.clone(), None, spec)
        };
        let work = || Work::Products(flops(TOKENS, out, inn));
        let shape = format!("{out}x{inn}");
        {
            let x = random([1, inn], &Device::flex());
            let run = nf4(&x);
            time(
                &format!("linear4bit {shape} one row"),
                50,
                Work::Products(flops(1, out, inn)),
                || (),
                |()| run(x.clone()),
            );
            time(
                &format!("linear {shape} one row"),
                50,
                Work::Products(flops(1, out, inn)),
                || (),
                |()| linear(x.clone(), weight.clone(), None),
            );
        }
        both(&format!("linear4bit {shape}"), &[[TOKENS, inn]], work(), work(), |x| nf4(&x[0])(x[0].clone()));
        both(
            &format!("linear {shape} (dx and dw)"),
            &[[TOKENS, inn], [out, inn]],
            work(),
            Work::Products(2.0 * flops(TOKENS, out, inn)),
            |x| linear(x[0].clone(), x[1].clone(), None),
        );
    }
    const R: usize = 64;
    for p in [0.0, 0.1] {
        let low_rank = 2.0 * flops(TOKENS, D, R);
        both(
            &format!("lora_update 576x576 r 64 dropout {p}"),
            &[[TOKENS, D], [TOKENS, D], [R, D], [D, R]],
            Work::Products(low_rank),
            Work::Products(2.5 * low_rank),
            |x| {
                let dropout = Some(Dropout { p, seed: 1 });
                lora_update(x[0].clone(), x[1].clone(), x[2].clone(), x[3].clone(), 0.25, dropout)
            },
        );
    }
}

fn attention() {
    let flops = 4.0 * (TOKENS * TOKENS / 2 * D) as f64;
    let kv = [1, TOKENS, KV, HEAD_DIM];
    both(
        "causal_attention 9/3 heads",
        &[[1, TOKENS, HEADS, HEAD_DIM], kv, kv],
        Work::Products(flops),
        Work::Products(2.5 * flops),
        |x| causal_attention(x[0].clone(), x[1].clone(), x[2].clone(), 0.125),
    );
    let device = Device::flex();
    let (q, k) = (random([1, 1, HEADS, HEAD_DIM], &device), random(kv, &device));
    time(
        "causal_attention one query",
        50,
        Work::Bytes((8 * TOKENS * KV * HEAD_DIM) as f64),
        || (),
        |()| causal_attention(q.clone(), k.clone(), k.clone(), 0.125),
    );
}

fn loss() {
    let flops = 2.0 * (TOKENS * D * VOCAB) as f64;
    for (name, device, products) in [
        ("linear_cross_entropy, loss only", Device::flex(), 1.0),
        ("linear_cross_entropy, loss and dhidden", Device::flex().autodiff(), 2.0),
    ] {
        let (hidden, head) = (random([TOKENS, D], &device), random([VOCAB, D], &device));
        let hidden = if products > 1.0 { hidden.require_grad() } else { hidden };
        let labels: Vec<i64> = (0..TOKENS as i64).collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [TOKENS]), &device);
        time(
            name,
            3,
            Work::Products(products * flops),
            || (),
            |()| linear_cross_entropy(hidden.clone(), head.clone(), labels.clone()),
        );
    }
}
