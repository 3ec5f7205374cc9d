//! rms_norm, rotary, swiglu, embedding and vjp_seed against their references.

mod checks;

use burn::tensor::{Int, Tensor, TensorData};
use camelid_kernels::{embedding, rms_norm, rotary, swiglu, vjp_seed};
use checks::{bits, cases, close, device, gradient, inner, list, tensor, values, view, wide, with_threads};
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn rms_norm_and_its_gradients(rows in 1usize..70, d in 1usize..100, seed in 0u64..1000) {
        let (x, w, dy) = (values(rows * d, seed), values(d, seed + 1), values(rows * d, seed + 2));
        let device = device().autodiff();
        let xt = view(&x, [rows, d], &device).detach().require_grad();
        let wt = tensor(&w, [d], &device).require_grad();
        let y = rms_norm(xt.clone(), wt.clone(), 1e-5);
        close("y", &list(y.clone()), &camelid_kernels::rms_norm::reference::rms_norm(&wide(&x), &wide(&w), 1e-5), 1e-5);
        let grads = vjp_seed(y, tensor(&dy, [rows, d], &device)).backward();
        let reference = camelid_kernels::rms_norm::reference::rms_norm;
        // A row of nearly nothing has a huge gradient; finite differences need a tame function.
        if x.chunks(d).all(|row| row.iter().map(|v| v * v).sum::<f32>() > 0.05 * d as f32) {
            gradient("dx", &list(xt.grad(&grads).unwrap()), &x, |x| inner(&reference(x, &wide(&w), 1e-5), &dy));
        }
        gradient("dw", &list(wt.grad(&grads).unwrap()), &w, |w| inner(&reference(&wide(&x), w, 1e-5), &dy));
    }

    #[test]
    fn swiglu_and_its_gradients(rows in 1usize..40, d in 1usize..300, seed in 0u64..1000) {
        let large = |seed| values(rows * d, seed).iter().map(|v| v * 6.0).collect::<Vec<_>>();
        let (g, u, dy) = (large(seed), large(seed + 1), values(rows * d, seed + 2));
        let device = device().autodiff();
        let gt = view(&g, [rows, d], &device).detach().require_grad();
        let ut = tensor(&u, [rows, d], &device).require_grad();
        let y = swiglu(gt.clone(), ut.clone());
        let reference = camelid_kernels::swiglu::reference::swiglu;
        close("y", &list(y.clone()), &reference(&wide(&g), &wide(&u)), 1e-6);
        let grads = vjp_seed(y, tensor(&dy, [rows, d], &device)).backward();
        gradient("dgate", &list(gt.grad(&grads).unwrap()), &g, |g| inner(&reference(g, &wide(&u)), &dy));
        gradient("dup", &list(ut.grad(&grads).unwrap()), &u, |u| inner(&reference(&wide(&g), u), &dy));
    }

    #[test]
    fn rotary_and_its_gradient(
        batch in 1usize..4, seq in 1usize..9, heads in 1usize..5, half in 1usize..20, seed in 0u64..1000,
    ) {
        let d = 2 * half;
        let n = batch * seq * heads * d;
        let angles = values(seq * half, seed + 3);
        let cos: Vec<f32> = angles.iter().map(|a| (9.0 * a).cos()).collect();
        let sin: Vec<f32> = angles.iter().map(|a| (9.0 * a).sin()).collect();
        let (x, dy) = (values(n, seed), values(n, seed + 1));
        let device = device().autodiff();
        let shape = [batch, seq, heads, d];
        let xt = view(&x, shape, &device).detach().require_grad();
        let y = rotary(xt.clone(), tensor(&cos, [seq, half], &device), tensor(&sin, [seq, half], &device));
        let reference = |x: &[f64]| {
            camelid_kernels::rotary::reference::rotary(x, &wide(&cos), &wide(&sin), heads, d)
        };
        close("y", &list(y.clone()), &reference(&wide(&x)), 1e-6);
        prop_assert_eq!(list(xt.clone()), x.clone(), "a shared input stays as it was");
        let grads = vjp_seed(y, tensor(&dy, shape, &device)).backward();
        gradient("dx", &list(xt.grad(&grads).unwrap()), &x, |x| inner(&reference(x), &dy));
    }
}

#[test]
fn rms_norm_is_the_same_on_every_kind_of_device_and_rank() {
    let (x, w) = (values(6 * 40, 1), values(40, 2));
    let plain = device();
    let want = list(rms_norm(tensor(&x, [6, 40], &plain), tensor(&w, [40], &plain), 1e-6));
    let untracked = device().autodiff();
    for device in [plain, untracked] {
        assert_eq!(list(rms_norm(tensor(&x, [2, 3, 40], &device), tensor(&w, [40], &device), 1e-6)), want);
        assert_eq!(list(rms_norm(view(&x, [1, 2, 3, 40], &device), tensor(&w, [40], &device), 1e-6)), want);
    }
}

#[test]
fn empty_batches_give_empty_results() {
    let device = device();
    assert_eq!(
        rms_norm(Tensor::<2>::zeros([0, 8], &device), Tensor::ones([8], &device), 1e-5).dims(),
        [0, 8]
    );
    assert_eq!(swiglu(Tensor::<2>::zeros([0, 8], &device), Tensor::zeros([0, 8], &device)).dims(), [0, 8]);
    let table = Tensor::zeros([0, 2], &device);
    assert_eq!(rotary(Tensor::zeros([1, 0, 2, 4], &device), table.clone(), table).dims(), [1, 0, 2, 4]);
}

#[test]
fn swiglu_of_extreme_gates() {
    let device = device();
    let gate = Tensor::<1>::from_floats([-1e30, -200.0, -88.0, 0.0, 88.0, 200.0, 1e30], &device);
    let y = list(swiglu(gate, Tensor::ones([7], &device)));
    assert!(y.iter().all(|v| v.is_finite()), "{y:?}");
    assert_eq!(y[0].abs(), 0.0);
    assert_eq!(&y[4..], [88.0, 200.0, 1e30]);
}

#[test]
fn swiglu_writes_over_a_gate_that_nothing_else_holds_only() {
    let device = device();
    let gate = tensor(&[1.0, 2.0], [2], &device);
    let up = tensor(&[1.0, 1.0], [2], &device);
    let y = list(swiglu(gate.clone(), up.clone()));
    assert_eq!(list(gate.clone()), [1.0, 2.0]);
    assert_eq!(list(swiglu(gate, up)), y);
}

#[test]
fn reductions_have_the_same_bits_with_one_and_two_threads() {
    let (x, w, dy) = (values(300 * 96, 1), values(96, 2), values(300 * 96, 3));
    let run = || {
        let device = device().autodiff();
        let xt = tensor(&x, [300, 96], &device).require_grad();
        let wt = tensor(&w, [96], &device).require_grad();
        let y = rms_norm(xt.clone(), wt.clone(), 1e-5);
        let out = list(y.clone());
        let grads = vjp_seed(y, tensor(&dy, [300, 96], &device)).backward();
        [out, list(xt.grad(&grads).unwrap()), list(wt.grad(&grads).unwrap())].map(|v| bits(&v))
    };
    let one = with_threads(1, run);
    assert_eq!(one, with_threads(2, run));
    assert_eq!(one, with_threads(2, run));
}

/// Buffers that were used before hold other values: none of them may show.
#[test]
fn large_results_do_not_depend_on_what_was_in_memory() {
    let (rows, d) = (200, 256); // 200 KiB: large enough to come from the pool
    let device = device().autodiff();
    let run = |seed: u64| {
        let x = tensor(&values(rows * d, seed), [rows, d], &device).require_grad();
        let up = tensor(&values(rows * d, seed + 1), [rows, d], &device).require_grad();
        let y = swiglu(rms_norm(x.clone(), Tensor::ones([d], &device), 1e-5), up.clone());
        let out = list(y.clone());
        let grads = vjp_seed(y, tensor(&values(rows * d, seed + 2), [rows, d], &device)).backward();
        [out, list(x.grad(&grads).unwrap()), list(up.grad(&grads).unwrap())].map(|v| bits(&v))
    };
    let first = run(1);
    run(9);
    assert_eq!(run(1), first);
    camelid_kernels::release_idle_buffers();
    assert_eq!(run(1), first);
}

/// The backward pass writes over what it alone holds, and over nothing else.
#[test]
fn gradients_leave_tensors_that_others_hold_as_they_were() {
    let (n, d) = (3, 40);
    let device = device().autodiff();
    let (g, u, dy) = (values(n * d, 1), values(n * d, 2), values(n * d, 3));
    let gate = tensor(&g, [n, d], &device).require_grad();
    let up = tensor(&u, [n, d], &device).require_grad();
    let upstream = tensor(&dy, [n, d], &device);
    let y = swiglu(rms_norm(gate.clone(), Tensor::ones([d], &device), 1e-5), up.clone());
    vjp_seed(y, upstream.clone()).backward();
    assert_eq!(list(gate), g);
    assert_eq!(list(up), u);
    let y = rms_norm(tensor(&g, [n, d], &device).require_grad(), Tensor::ones([d], &device), 1e-5);
    vjp_seed(y, upstream.clone()).backward();
    assert_eq!(list(upstream), dy);
}

#[test]
fn embedding_rows_and_the_gradient_of_repeated_ids() {
    let device = device().autodiff();
    let table = tensor(&values(7 * 5, 1), [7, 5], &device).require_grad();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(vec![3i64, 0, 3, 6, 3, 0], [2, 3]), &device);
    let y = embedding(table.clone(), ids.clone());
    let want = list(table.clone().select(0, ids.reshape([6])));
    assert_eq!(list(y.clone()), want);
    let dy = values(30, 2);
    let grads = vjp_seed(y, tensor(&dy, [2, 3, 5], &device)).backward();
    let dtable = list(table.grad(&grads).unwrap());
    for c in 0..5 {
        assert_eq!(dtable[3 * 5 + c], dy[c] + dy[2 * 5 + c] + dy[4 * 5 + c]);
        assert_eq!(dtable[c], dy[5 + c] + dy[5 * 5 + c]);
        assert_eq!(dtable[5 + c], 0.0);
    }
}

#[test]
#[should_panic(expected = "id 7 is not in 0..7")]
fn embedding_names_an_id_out_of_range() {
    let device = device();
    embedding(Tensor::zeros([7, 5], &device), Tensor::<2, Int>::from_ints([[7]], &device));
}

#[test]
fn vjp_seed_hands_its_gradient_through() {
    let device = device().autodiff();
    let x = tensor(&[1.0, 2.0, 3.0], [3], &device).require_grad();
    let seed = vjp_seed(x.clone() * x.clone(), tensor(&[1.0, 10.0, 100.0], [3], &device));
    let grads = seed.backward();
    assert_eq!(list(x.grad(&grads).unwrap()), [2.0, 40.0, 600.0]);
}

#[test]
fn these_tests_pass_on_every_instruction_set() {
    checks::pass_on_every_instruction_set();
}
