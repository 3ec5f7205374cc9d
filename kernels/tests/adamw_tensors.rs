//! An 8-bit AdamW step of tensors against the reference, code by code.

mod checks;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use camelid_kernels::adamw::{BLOCK, Hyper, Moment8, Moment8Tensors, Step, reference, update_8bit_tensors};
use camelid_kernels::blockwise4::Rounding;
use checks::{bits, cases, device, list, tensor, view};
use proptest::prelude::*;

/// A moment on the host.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    codes: Vec<u8>,
    absmax: Vec<f32>,
}

impl Owned {
    fn zeros(len: usize) -> Self {
        Self { codes: vec![0; len], absmax: vec![0.0; len.div_ceil(BLOCK)] }
    }

    fn moment(&mut self) -> Moment8<'_> {
        Moment8 { codes: &mut self.codes, absmax: &mut self.absmax }
    }

    fn tensors(&self, device: &Device) -> Moment8Tensors {
        let codes = TensorData::new(self.codes.clone(), [self.codes.len()]);
        Moment8Tensors {
            codes: Tensor::<1, Int>::from_data(codes, (device, DType::U8)),
            absmax: tensor(&self.absmax, [self.absmax.len()], device),
        }
    }

    fn of(tensors: Moment8Tensors) -> Self {
        let codes = tensors.codes.into_data().try_to_vec::<u8>().expect("codes are bytes");
        Self { codes, absmax: list(tensors.absmax) }
    }
}

/// Gradients of many magnitudes, some of them none.
fn gradient() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => -1f32..1.0,
        4 => (-25i32..10, -1f32..1.0).prop_map(|(exponent, v)| v * 10f32.powi(exponent)),
        1 => Just(0.0),
        1 => Just(-0.0),
    ]
}

// Exact where the device fuses no more than the reference does: flex and CubeCL's CPU runtime.
proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn steps_of_tensors_are_those_of_the_reference(
        grads in prop::collection::vec(gradient(), 1..700), lr in 0f64..0.1, scale in 0f32..2.0,
        decay in 0f64..0.2, steps in 1u64..4,
    ) {
        let device = device();
        let hyper = Hyper { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: decay };
        let len = grads.len();
        let start: Vec<f32> = (0..len).map(|i| (i as f32 * 0.7).sin()).collect();
        let (mut want, mut want_m, mut want_v) = (start.clone(), Owned::zeros(len), Owned::zeros(len));
        let mut p = tensor(&start, [len], &device);
        let (mut m, mut v) = (want_m.tensors(&device), want_v.tensors(&device));
        for t in 1..=steps {
            let step = Step::new(&hyper, lr, t).with_grad_scale(scale);
            let rounding = Rounding::Cuda;
            reference::update_8bit(&step, rounding, &mut want, &grads, want_m.moment(), want_v.moment());
            let g = view(&grads, [len], &device);
            (p, m, v) = update_8bit_tensors(&step, p, g, m, v);
        }
        prop_assert_eq!(bits(&list(p)), bits(&want));
        prop_assert_eq!(Owned::of(m), want_m);
        prop_assert_eq!(Owned::of(v), want_v);
    }
}

#[test]
fn a_step_leaves_tensors_that_others_hold_as_they_were() {
    let device = device();
    let step = Step::new(&Hyper { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }, 0.1, 1);
    let p = tensor(&[1.0, 2.0, 3.0], [3], &device);
    let g = tensor(&[1.0, -1.0, 0.0], [3], &device);
    let (m, v) = (Owned::zeros(3).tensors(&device), Owned::zeros(3).tensors(&device));
    let (after, ..) = update_8bit_tensors(&step, p.clone(), g.clone(), m.clone(), v.clone());
    assert_eq!(list(p), [1.0, 2.0, 3.0]);
    assert_eq!(list(g), [1.0, -1.0, 0.0]);
    assert_eq!(Owned::of(m), Owned::zeros(3));
    assert_eq!(Owned::of(v), Owned::zeros(3));
    let after = list(after);
    assert!((after[0] - 0.9).abs() < 1e-6 && (after[1] - 2.1).abs() < 1e-6 && after[2] == 3.0);
}
