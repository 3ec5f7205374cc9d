//! causal_attention and linear_cross_entropy against their references.

mod checks;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use camelid_kernels::{
    CuSeqlens, IGNORE_INDEX, causal_attention, causal_attention_varlen, linear_cross_entropy, vjp_seed,
};
use checks::{
    bits, cases, close, device, gradient, inner, is_slow, list, tensor, values, view, wide, with_threads,
};
use proptest::prelude::*;

/// Sizes and inputs of one attention call.
struct Attention {
    batch: usize,
    t: usize,
    s: usize,
    heads: usize,
    kv_heads: usize,
    d: usize,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    dy: Vec<f32>,
}

impl Attention {
    fn new([batch, t, s, kv_heads, group, d]: [usize; 6], magnitude: f32, seed: u64) -> Self {
        let heads = kv_heads * group;
        let some = |n, seed| values(n, seed).iter().map(|v| v * magnitude).collect();
        Self {
            batch,
            t,
            s,
            heads,
            kv_heads,
            d,
            q: some(batch * t * heads * d, seed),
            k: some(batch * s * kv_heads * d, seed + 1),
            v: some(batch * s * kv_heads * d, seed + 2),
            dy: values(batch * t * heads * d, seed + 3),
        }
    }

    fn q_shape(&self) -> [usize; 4] {
        [self.batch, self.t, self.heads, self.d]
    }

    fn kv_shape(&self) -> [usize; 4] {
        [self.batch, self.s, self.kv_heads, self.d]
    }

    fn reference(&self, q: &[f64], k: &[f64], v: &[f64], scale: f32) -> Vec<f64> {
        camelid_kernels::causal_attention::reference::causal_attention(
            q,
            k,
            v,
            f64::from(scale),
            [self.batch, self.t, self.s],
            self.heads,
            self.kv_heads,
            self.d,
        )
    }

    /// Output and the gradients of q, k and v.
    fn run(&self, scale: f32) -> [Vec<f32>; 4] {
        let device = device().autodiff();
        let q = view(&self.q, self.q_shape(), &device).detach();
        let k = view(&self.k, self.kv_shape(), &device).detach();
        self.run_on(q, k, scale)
    }

    /// As [`Self::run`], nothing strided; some shapes have no element to stride over.
    fn run_contiguous(&self, scale: f32) -> [Vec<f32>; 4] {
        let device = device().autodiff();
        self.run_on(
            tensor(&self.q, self.q_shape(), &device),
            tensor(&self.k, self.kv_shape(), &device),
            scale,
        )
    }

    fn run_on(&self, q: Tensor<4>, k: Tensor<4>, scale: f32) -> [Vec<f32>; 4] {
        let device = device().autodiff();
        let (q, k) = (q.require_grad(), k.require_grad());
        let v = tensor(&self.v, self.kv_shape(), &device).require_grad();
        let y = causal_attention(q.clone(), k.clone(), v.clone(), scale);
        let out = list(y.clone());
        let grads = vjp_seed(y, tensor(&self.dy, self.q_shape(), &device)).backward();
        let grad = |x: &Tensor<4>| list(x.grad(&grads).expect("tracked"));
        [out, grad(&q), grad(&k), grad(&v)]
    }

    #[track_caller]
    fn check(&self, scale: f32) {
        let [y, dq, dk, dv] = self.run(scale);
        let (q, k, v) = (wide(&self.q), wide(&self.k), wide(&self.v));
        close("y", &y, &self.reference(&q, &k, &v, scale), 1e-5);
        gradient("dq", &dq, &self.q, |q| inner(&self.reference(q, &k, &v, scale), &self.dy));
        gradient("dk", &dk, &self.k, |k| inner(&self.reference(&q, k, &v, scale), &self.dy));
        gradient("dv", &dv, &self.v, |v| inner(&self.reference(&q, &k, v, scale), &self.dy));
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn attention_and_its_gradients(
        batch in 1usize..3, t in 1usize..20, before in 0usize..8, kv in 1usize..3, group in 1usize..4,
        d in 1usize..20, seed in 0u64..1000,
    ) {
        Attention::new([batch, t, t + before, kv, group, d], 1.0, seed).check(0.4);
    }

    #[test]
    fn loss_and_its_gradients(n in 1usize..20, vocab in 1usize..90, d in 1usize..40, seed in 0u64..1000) {
        let (hidden, head) = (values(n * d, seed), values(vocab * d, seed + 1));
        let labels: Vec<i64> = values(n, seed + 2)
            .iter()
            .map(|&v| if v < -0.4 { IGNORE_INDEX } else { ((v + 1.0) * 1e4) as i64 % vocab as i64 })
            .collect();
        let device = device().autodiff();
        let hidden_t = view(&hidden, [n, d], &device).detach().require_grad();
        let head_t = tensor(&head, [vocab, d], &device).require_grad();
        let loss = linear_cross_entropy(hidden_t.clone(), head_t.clone(), ids(&labels, &device));
        let f = |h: &[f64], w: &[f64]| {
            camelid_kernels::linear_cross_entropy::reference::linear_cross_entropy(h, w, &labels, d)
        };
        let (wh, ww) = (wide(&hidden), wide(&head));
        close("loss", &list(loss.clone()), &[f(&wh, &ww)], 1e-5);
        // An upstream gradient other than 1.
        let grads = (loss * 0.25).backward();
        gradient("dhidden", &list(hidden_t.grad(&grads).unwrap()), &hidden, |h| 0.25 * f(h, &ww));
        gradient("dhead", &list(head_t.grad(&grads).unwrap()), &head, |w| 0.25 * f(&wh, w));
    }
}

fn ids(labels: &[i64], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(labels.to_vec(), [labels.len()]), device)
}

#[test]
fn attention_across_tiles_of_queries_and_keys() {
    // 48 queries and 256 keys to a tile: edges just before, on and after them.
    for (t, s) in [(47, 47), (48, 48), (49, 49), (130, 300), (3, 257), (1, 600)] {
        Attention::new([1, t, s, 1, 2, 8], 1.0, t as u64).check(0.5);
    }
}

/// Output and gradients of packed sequences.
fn run_varlen(attention: &Attention, cu_seqlens: &CuSeqlens, scale: f32) -> [Vec<f32>; 4] {
    let device = device().autodiff();
    let q = tensor(&attention.q, attention.q_shape(), &device).require_grad();
    let k = tensor(&attention.k, attention.kv_shape(), &device).require_grad();
    let v = tensor(&attention.v, attention.kv_shape(), &device).require_grad();
    let y = causal_attention_varlen(q.clone(), k.clone(), v.clone(), scale, cu_seqlens);
    let out = list(y.clone());
    let grads = vjp_seed(y, tensor(&attention.dy, attention.q_shape(), &device)).backward();
    let grad = |x: &Tensor<4>| list(x.grad(&grads).expect("tracked"));
    [out, grad(&q), grad(&k), grad(&v)]
}

#[test]
fn packed_sequences_are_as_each_alone() {
    let several_tiles = if is_slow() { vec![70, 9] } else { vec![300, 49] };
    for lengths in [vec![5, 1, 60, 0, 17], several_tiles, vec![1, 1, 1], vec![20]] {
        let packed = CuSeqlens::of_lengths(lengths);
        let total = packed.total();
        let all = Attention::new([1, total, total, 2, 2, 16], 1.0, total as u64);
        let together = run_varlen(&all, &packed, 0.3);
        let mut alone: [Vec<f32>; 4] = Default::default();
        let mut first = 0;
        for t in packed.lengths() {
            let cut =
                |values: &[f32]| values[first * values.len() / total..][..t * values.len() / total].to_vec();
            let one = Attention {
                t,
                s: t,
                q: cut(&all.q),
                k: cut(&all.k),
                v: cut(&all.v),
                dy: cut(&all.dy),
                ..Attention::new([1, 0, 0, 2, 2, 16], 1.0, 0)
            };
            alone.iter_mut().zip(one.run_contiguous(0.3)).for_each(|(all, one)| all.extend(one));
            first += t;
        }
        // One position alone takes another way than one among many.
        for (together, alone) in together.iter().zip(&alone) {
            close("packed", together, &wide(alone), 1e-6);
        }
    }
}

#[test]
#[should_panic(expected = "sequences of [2, 2] positions")]
fn sequences_must_fill_the_positions() {
    let x = Tensor::<4>::zeros([1, 5, 1, 4], &device());
    causal_attention_varlen(x.clone(), x.clone(), x, 1.0, &CuSeqlens::of_lengths([2, 2]));
}

/// A cache with room to spare is read where it lies, one row of it or several.
#[test]
fn keys_and_values_of_a_cache_with_room() {
    let device = device();
    for (batch, t) in [(1, 1), (1, 7), (3, 1), (3, 7)] {
        let attention = Attention::new([batch, t, 70, 2, 2, 16], 1.0, 5);
        let q = tensor(&attention.q, attention.q_shape(), &device);
        let k = tensor(&attention.k, attention.kv_shape(), &device);
        let v = tensor(&attention.v, attention.kv_shape(), &device);
        let roomy = |x: &Tensor<4>| {
            let room = Tensor::<4>::full([batch, 96, 2, 16], f32::NAN, &device);
            room.slice_assign([0..batch, 0..70], x.clone()).narrow(1, 0, 70)
        };
        let want = list(causal_attention(q.clone(), k.clone(), v.clone(), 0.3));
        assert_eq!(bits(&list(causal_attention(q, roomy(&k), roomy(&v), 0.3))), bits(&want));
    }
}

#[test]
fn attention_with_large_scores_stays_finite() {
    let attention = Attention::new([1, 40, 300, 1, 1, 16], 60.0, 4);
    let [y, ..] = attention.run(1.0);
    assert!(y.iter().all(|v| v.is_finite()));
    let want = attention.reference(&wide(&attention.q), &wide(&attention.k), &wide(&attention.v), 1.0);
    close("y", &y, &want, 1e-2);
}

#[test]
fn attention_of_the_last_position_alone_equals_that_row_of_all() {
    let all = Attention::new([2, 70, 70, 2, 3, 16], 1.0, 8);
    let [y, ..] = all.run(0.25);
    let device = device();
    let q = tensor(&all.q, all.q_shape(), &device).narrow(1, 69, 1);
    let k = tensor(&all.k, all.kv_shape(), &device);
    let v = tensor(&all.v, all.kv_shape(), &device);
    let last = list(causal_attention(q, k, v, 0.25));
    let want = list(tensor(&y, all.q_shape(), &device).narrow(1, 69, 1));
    close("last row", &last, &wide(&want), 1e-6);
}

#[test]
fn attention_has_equal_bits_with_one_and_two_threads() {
    let attention = Attention::new([2, 100, 300, 2, 2, 16], 1.0, 1);
    let one = with_threads(1, || attention.run(0.3).map(|v| bits(&v)));
    assert_eq!(one, with_threads(2, || attention.run(0.3).map(|v| bits(&v))));
    assert_eq!(one, with_threads(2, || attention.run(0.3).map(|v| bits(&v))));
}

#[test]
fn attention_over_nothing() {
    let device = device();
    let empty = Tensor::<4>::zeros([0, 3, 2, 4], &device);
    assert_eq!(causal_attention(empty.clone(), empty.clone(), empty, 1.0).dims(), [0, 3, 2, 4]);
}

#[test]
fn the_loss_in_several_chunks_of_rows() {
    // 2^23 logits to a chunk: 59 rows of 140,000 fit; 60 supervised rows make two chunks.
    let (n, vocab, d) = (70, 140_000, 3);
    let (hidden, head) = (values(n * d, 1), values(vocab * d, 2));
    let labels: Vec<i64> = (0..n as i64).map(|i| if i % 7 == 3 { IGNORE_INDEX } else { i * 501 }).collect();
    let device = device().autodiff();
    let hidden_t = tensor(&hidden, [n, d], &device).require_grad();
    let head_t = tensor(&head, [vocab, d], &device).require_grad();
    let loss = linear_cross_entropy(hidden_t.clone(), head_t.clone(), ids(&labels, &device));
    let want = camelid_kernels::linear_cross_entropy::reference::linear_cross_entropy(
        &wide(&hidden),
        &wide(&head),
        &labels,
        d,
    );
    close("loss", &list(loss.clone()), &[want], 1e-6);
    let grads = loss.backward();

    // Against burn's own operations, on the CPU.
    let device = Device::flex().autodiff();
    let plain_hidden = tensor(&hidden, [n, d], &device).require_grad();
    let plain_head = tensor(&head, [vocab, d], &device).require_grad();
    let kept: Vec<i64> = (0..n as i64).filter(|&i| labels[i as usize] >= 0).collect();
    let targets: Vec<i64> = kept.iter().map(|&i| labels[i as usize]).collect();
    let rows = plain_hidden.clone().select(0, ids(&kept, &device));
    let logits = rows.matmul(plain_head.clone().transpose());
    let picked = burn::tensor::activation::log_softmax(logits, 1)
        .gather(1, ids(&targets, &device).reshape([kept.len(), 1]));
    let plain = picked.sum().neg().backward();
    let want = |x: &Tensor<2>| wide(&list(x.grad(&plain).unwrap()));
    // CubeCL's products add the 140,000 terms of an element one after the other in f32.
    let tolerance = if cfg!(feature = "cube") { 5e-5 } else { 1e-5 };
    close("dhidden", &list(hidden_t.grad(&grads).unwrap()), &want(&plain_hidden), tolerance);
    close("dhead", &list(head_t.grad(&grads).unwrap()), &want(&plain_head), 1e-5);
}

#[test]
fn ignored_rows_cost_nothing_and_get_a_zero_gradient() {
    let device = device().autodiff();
    let hidden = tensor(&values(3 * 4, 1), [3, 4], &device).require_grad();
    let head = tensor(&values(5 * 4, 2), [5, 4], &device);
    let loss = linear_cross_entropy(hidden.clone(), head.clone(), ids(&[IGNORE_INDEX; 3], &device));
    assert_eq!(list(loss.clone()), [0.0]);
    let grads = loss.backward();
    assert_eq!(list(hidden.grad(&grads).unwrap()), [0.0; 12]);
    assert!(head.grad(&grads).is_none());
}

#[test]
fn logits_far_apart_give_a_finite_loss() {
    let device = device();
    let hidden = tensor(&[1e4, 1e4], [2, 1], &device);
    let head = tensor(&[1.0, -1.0, 0.5], [3, 1], &device);
    let loss = list(linear_cross_entropy(hidden, head, ids(&[0, 1], &device)));
    assert_eq!(loss, [2e4]);
}

#[test]
fn a_sixteen_bit_head() {
    let device = device().autodiff();
    let (hidden, head) = (values(6 * 8, 1), values(1500 * 8, 2));
    let head_t = tensor(&head, [1500, 8], &device).cast(DType::BF16);
    let rounded = list(head_t.clone().cast(DType::F32));
    let hidden_t = tensor(&hidden, [6, 8], &device).require_grad();
    let labels = [1, 2, 1499, IGNORE_INDEX, 0, 700];
    let loss = linear_cross_entropy(hidden_t.clone(), head_t, ids(&labels, &device));
    let f = |h: &[f64]| {
        camelid_kernels::linear_cross_entropy::reference::linear_cross_entropy(h, &wide(&rounded), &labels, 8)
    };
    close("loss", &list(loss.clone()), &[f(&wide(&hidden))], 1e-6);
    let grads = loss.backward();
    gradient("dhidden", &list(hidden_t.grad(&grads).unwrap()), &hidden, f);
}

#[test]
fn the_loss_is_the_same_with_and_without_gradients_and_on_any_pool() {
    let (hidden, head) = (values(50 * 16, 1), values(300 * 16, 2));
    let labels: Vec<i64> = (0..50).collect();
    let run = |device: &Device, track: bool| {
        let hidden = tensor(&hidden, [50, 16], device);
        let hidden = if track { hidden.require_grad() } else { hidden };
        bits(&list(linear_cross_entropy(hidden, tensor(&head, [300, 16], device), ids(&labels, device))))
    };
    let plain = run(&device(), false);
    assert_eq!(plain, run(&device().autodiff(), false));
    assert_eq!(plain, run(&device().autodiff(), true));
    assert_eq!(plain, with_threads(1, || run(&device(), false)));
    assert_eq!(plain, with_threads(2, || run(&device(), false)));
}

#[test]
#[should_panic(expected = "label 5 of row 1 is not in 0..5")]
fn a_label_out_of_range_is_named() {
    let device = device();
    linear_cross_entropy(
        Tensor::zeros([2, 4], &device),
        Tensor::zeros([5, 4], &device),
        ids(&[0, 5], &device),
    );
}

#[test]
fn these_tests_pass_on_every_instruction_set() {
    checks::pass_on_every_instruction_set();
}
