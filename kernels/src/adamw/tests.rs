//! The fast paths against the plain one, and the plain one against f64.

use proptest::prelude::*;

use super::*;

const HYPER: Hyper = Hyper { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
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

fn hyper() -> impl Strategy<Value = Hyper> {
    (0f64..0.99, 0.5f64..0.9999, prop_oneof![Just(0.0), Just(1e-8), Just(1e-50)], 0f64..0.2)
        .prop_map(|(beta1, beta2, eps, weight_decay)| Hyper { beta1, beta2, eps, weight_decay })
}

/// A moment in 8 bits that owns its parts.
#[derive(Clone, Debug, PartialEq)]
struct Owned(Vec<u8>, Vec<f32>);

impl Owned {
    fn zeros(len: usize) -> Self {
        Owned(vec![0; len], vec![0.0; block_count(len, BLOCK)])
    }

    fn moment(&mut self) -> Moment8<'_> {
        Moment8 { codes: &mut self.0, absmax: &mut self.1 }
    }
}

/// The step in f64 from f32 moments, as the formula stands.
fn exact(hyper: &Hyper, lr: f64, t: i32, p: f32, m: f32, v: f32) -> (f64, f64) {
    let denominator = f64::from(v).sqrt() / (1.0 - hyper.beta2.powi(t)).sqrt() + hyper.eps;
    let update = lr / (1.0 - hyper.beta1.powi(t)) * f64::from(m) / denominator;
    (f64::from(p) * (1.0 - lr * hyper.weight_decay) - update, update)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_instruction_set_steps_as_the_reference(
        grads in prop::collection::vec(gradient(), 0..900), hyper in hyper(),
        lr in 0f64..0.1, scale in 0f32..2.0, steps in 1u64..4,
    ) {
        let start: Vec<f32> = (0..grads.len()).map(|i| (i as f32 * 0.7).sin()).collect();
        let zeros = vec![0f32; grads.len()];
        let mut plain = (start.clone(), zeros.clone(), zeros.clone());
        let mut plain8 = (start.clone(), Owned::zeros(grads.len()), Owned::zeros(grads.len()));
        let step = |t| Step::new(&hyper, lr, t).with_grad_scale(scale);
        let rounding = if steps % 2 == 0 { Rounding::Cuda } else { Rounding::BnbCpu };
        for t in 1..=steps {
            reference::update_f32(&step(t), &mut plain.0, &grads, &mut plain.1, &mut plain.2);
            let (m, v) = (plain8.1.moment(), plain8.2.moment());
            reference::update_8bit(&step(t), rounding, &mut plain8.0, &grads, m, v);
        }
        for isa in Isa::available() {
            let (mut p, mut m, mut v) = (start.clone(), zeros.clone(), zeros.clone());
            let (mut p8, mut m8, mut v8) = (start.clone(), plain8.1.clone(), plain8.2.clone());
            for moment in [&mut m8, &mut v8] {
                *moment = Owned::zeros(grads.len());
            }
            for t in 1..=steps {
                cpu::update_f32(isa, &step(t), &mut p, &grads, &mut m, &mut v);
                cpu::update_8bit(isa, &step(t), rounding, &mut p8, &grads, m8.moment(), v8.moment());
            }
            prop_assert_eq!(bits(&m), bits(&plain.1), "{}", isa);
            prop_assert_eq!(bits(&v), bits(&plain.2), "{}", isa);
            // With ε = 0 a gradient of 0 gives 0 / 0.
            let numbers = |values: &[f32]| bits(&values.iter().map(|v| if v.is_nan() { f32::NAN } else { *v }).collect::<Vec<_>>());
            prop_assert_eq!(numbers(&p), numbers(&plain.0), "{}", isa);
            prop_assert_eq!((&m8, &v8), (&plain8.1, &plain8.2), "{}", isa);
            prop_assert_eq!(numbers(&p8), numbers(&plain8.0), "{}", isa);
        }
    }

    /// The parameter against f64: a unit in the last place of the larger of its old and new
    /// value, and the rounding of the update itself, which is seven operations long.
    #[test]
    fn a_step_is_within_a_unit_in_the_last_place_of_f64(
        p in -2f32..2.0, grads in prop::collection::vec(gradient(), 1..20), lr in 0f64..0.1,
    ) {
        let (mut p, mut m, mut v) = ([p], [0f32], [0f32]);
        for (t, &g) in (1..).zip(&grads) {
            let before = p[0];
            update_f32(&Step::new(&HYPER, lr, t), &mut p, &[g], &mut m, &mut v);
            let (want, update) = exact(&HYPER, lr, t as i32, before, m[0], v[0]);
            let largest = before.abs().max(p[0].abs());
            let unit = f64::from(largest.next_up() - largest);
            let error = (f64::from(p[0]) - want).abs();
            prop_assert!(error <= unit + 3e-7 * update.abs(), "{} is not {want}", p[0]);
            // An update that is small beside the parameter stays within the unit.
            if update.abs() < 0.1 * f64::from(largest) {
                prop_assert!(error <= unit, "{} is not {want}", p[0]);
            }
        }
    }

    #[test]
    fn squares_add_up_the_same_on_every_instruction_set(
        values in prop::collection::vec(gradient(), 0..700), copies in 1usize..60,
    ) {
        let values = values.repeat(copies);
        let sums: Vec<f64> = Isa::available().map(|isa| gradient::sum_of_squares_for(isa, &values)).collect();
        prop_assert!(sums.iter().all(|sum| sum.to_bits() == sums[0].to_bits()), "{sums:?}");
        let exact: f64 = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        prop_assert!((sums[0] - exact).abs() <= 1e-12 * exact);
        prop_assert_eq!(first_non_finite(&values), None);
    }

    #[test]
    fn the_first_value_that_is_not_finite_is_found(
        len in 1usize..60_000, at in prop::collection::vec((0f64..1.0, any::<bool>()), 1..4),
    ) {
        let mut values = vec![1f32; len];
        for &(place, nan) in &at {
            values[(place * len as f64) as usize] = if nan { f32::NAN } else { f32::NEG_INFINITY };
        }
        prop_assert_eq!(first_non_finite(&values), values.iter().position(|v| !v.is_finite()));
        prop_assert!(!sum_of_squares(&values).is_finite());
    }
}

#[test]
fn squares_of_the_largest_values_stay_finite() {
    assert!(sum_of_squares(&[f32::MAX; 100_000]).is_finite());
}

#[test]
#[should_panic(expected = "one gradient per parameter")]
fn a_gradient_of_another_length_is_refused() {
    update_f32(&Step::new(&HYPER, 0.1, 1), &mut [0.0; 2], &[0.0], &mut [0.0; 2], &mut [0.0; 2]);
}
