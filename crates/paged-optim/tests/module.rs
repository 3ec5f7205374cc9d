//! Steps over burn modules.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use camelid_paged_optim::{
    AdamWConfig, OptimError, PagedAdamW, clip_global_norm, clip_scale, global_norm, named_float_params,
    named_trainable_params,
};

#[derive(Module, Debug)]
struct Half {
    weight: Param<Tensor<2>>,
    bias: Option<Param<Tensor<1>>>,
}

#[derive(Module, Debug)]
enum Either {
    Left(Half),
}

#[derive(Module, Debug)]
struct Net {
    layers: Vec<Either>,
    frozen: Param<Tensor<2>>,
    unused: Param<Tensor<1>>,
}

fn net(device: &Device) -> Net {
    let weight = |k: f32| {
        let data: Vec<f32> = (0..12).map(|i| (i as f32 * k).sin()).collect();
        Param::from_tensor(Tensor::<2>::from_data(TensorData::new(data, [4, 3]), device))
    };
    let half = |k| Half {
        weight: weight(k),
        bias: Some(Param::from_tensor(Tensor::<1>::from_data([0.1, 0.2, 0.3], device))),
    };
    Net {
        layers: vec![Either::Left(half(1.0)), Either::Left(half(2.0))],
        frozen: weight(3.0).set_require_grad(false),
        unused: Param::from_tensor(Tensor::<1>::from_data([7.0], device)),
    }
}

/// Σ over layers of Σ (x·W·F + b)².
fn loss(net: &Net) -> Tensor<1> {
    let x = Tensor::<2>::ones([2, 4], &net.frozen.device());
    let one = |layer: &Either| {
        let Either::Left(half) = layer;
        let y = x.clone().matmul(half.weight.val()) + x.clone().matmul(net.frozen.val());
        (y + half.bias.as_ref().unwrap().val().unsqueeze()).square().sum()
    };
    one(&net.layers[0]) + one(&net.layers[1])
}

fn grads(net: &Net) -> GradientsParams {
    GradientsParams::from_grads(loss(net).backward(), net)
}

fn values<const D: usize>(tensor: &Param<Tensor<D>>) -> Vec<f32> {
    tensor.val().into_data().try_into_vec().unwrap()
}

#[test]
fn paths_are_field_names_without_enum_variants() {
    let net = net(&Device::flex().autodiff());
    let names = |named: Vec<(String, _)>| named.into_iter().map(|(n, _)| n).collect::<Vec<_>>();
    let all = names(named_float_params(&net));
    assert_eq!(
        all,
        ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias", "frozen", "unused"]
    );
    assert_eq!(names(named_trainable_params(&net)).len(), 5);
}

#[test]
fn a_module_step_equals_steps_on_slices_and_spares_frozen_parameters() {
    let device = Device::flex().autodiff();
    let mut net = net(&device);
    let config = AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() };
    let mut optim = PagedAdamW::new(config.clone()).unwrap();
    let mut by_hand = PagedAdamW::new(config).unwrap();
    let lr = |path: &str| if path.ends_with("bias") { 0.5 } else { 0.01 };
    let frozen = values(&net.frozen);
    for _ in 0..3 {
        let mut gradients = grads(&net);
        let Either::Left(half) = &net.layers[1];
        let (mut w, mut b) = (values(&half.weight), values(half.bias.as_ref().unwrap()));
        let gw = gradients.get::<2>(half.weight.id).unwrap().into_data().try_into_vec().unwrap();
        let gb = gradients.get::<1>(half.bias.as_ref().unwrap().id).unwrap();
        let gb = gb.into_data().try_into_vec().unwrap();
        by_hand.step("w", 0.01, &mut w, &gw).unwrap();
        by_hand.step("b", 0.5, &mut b, &gb).unwrap();
        net = optim.step_module(net, &mut gradients, &lr).unwrap();
        assert!(gradients.is_empty());
        let Either::Left(half) = &net.layers[1];
        assert_eq!(values(&half.weight), w);
        assert_eq!(values(half.bias.as_ref().unwrap()), b);
        assert!(half.weight.is_require_grad() && half.weight.val().is_require_grad());
    }
    assert_eq!(values(&net.frozen), frozen);
    assert!(!net.frozen.is_require_grad());
    assert_eq!(values(&net.unused), [7.0], "no gradient, no decay");
    assert_eq!(optim.keys().count(), 4);
}

#[test]
fn a_step_that_cannot_be_taken_moves_no_state() {
    let net = net(&Device::flex().autodiff());
    let mut optim = PagedAdamW::new(AdamWConfig::default()).unwrap();
    let mut gradients = grads(&net);
    let net = optim.step_module(net, &mut gradients, &|_| 0.01).unwrap();
    let moments = optim.moments("layers.0.weight").unwrap();

    // The last of four parameters is the one that cannot move.
    for rate in [f64::NAN, -1.0, f64::INFINITY] {
        let lr = |path: &str| if path == "layers.1.bias" { rate } else { 0.01 };
        let error = optim.step_module(net.clone(), &mut grads(&net), &lr).unwrap_err();
        assert!(matches!(&error, OptimError::LearningRate { key, .. } if key == "layers.1.bias"), "{error}");
    }
    let Either::Left(last) = &net.layers[1];
    let id = last.bias.as_ref().unwrap().id;
    let mut gradients = grads(&net);
    let poison = Tensor::<1>::from_data([0.5, f32::NEG_INFINITY, f32::NAN], &Device::flex());
    gradients.register(id, poison);
    let error = optim.step_module(net.clone(), &mut gradients, &|_| 0.01).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the gradient of `layers.1.bias` is -inf at index 1: expected finite values"
    );
    let mut gradients = grads(&net);
    gradients.register(id, Tensor::<1>::from_data([0.5, 0.5], &Device::flex()));
    let error = optim.step_module(net.clone(), &mut gradients, &|_| 0.01).unwrap_err();
    assert!(matches!(&error, OptimError::Length { what: "gradient", .. }), "{error}");

    assert_eq!(optim.moments("layers.0.weight").unwrap(), moments);
    assert!(optim.keys().all(|key| optim.steps(key) == 1));
}

#[test]
fn clipping_needs_a_limit_and_leaves_what_it_cannot_scale() {
    let net = net(&Device::flex().autodiff());
    let mut gradients = grads(&net);
    for limit in [-1.0, f64::NAN] {
        let error = clip_global_norm(&net, &mut gradients, limit).unwrap_err();
        assert!(matches!(error, OptimError::Setting { name: "max_norm", .. }), "{error}");
    }
    let Either::Left(first) = &net.layers[0];
    let id = first.bias.as_ref().unwrap().id;
    gradients.register(id, Tensor::<1>::from_data([1.0, f32::INFINITY, 2.0], &Device::flex()));
    assert_eq!(clip_global_norm(&net, &mut gradients, 0.3).unwrap(), f64::INFINITY);
    let left = gradients.get::<1>(id).unwrap().into_data().try_into_vec::<f32>().unwrap();
    assert_eq!(left, [1.0, f32::INFINITY, 2.0]);
}

#[test]
fn the_global_norm_is_over_all_gradients_and_clipping_scales_them_together() {
    let net = net(&Device::flex().autodiff());
    let mut gradients = grads(&net);
    let all = |g: &GradientsParams| -> Vec<f32> {
        net.layers
            .iter()
            .flat_map(|Either::Left(half)| {
                let bias = half.bias.as_ref().unwrap();
                let w = g.get::<2>(half.weight.id).unwrap().into_data();
                let b = g.get::<1>(bias.id).unwrap().into_data();
                [w.try_into_vec::<f32>().unwrap(), b.try_into_vec::<f32>().unwrap()].concat()
            })
            .collect()
    };
    let before = all(&gradients);
    let expected = before.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>().sqrt();
    let norm = global_norm(&net, &mut gradients).unwrap();
    assert!((norm - expected).abs() < 1e-9 * expected);

    assert_eq!(clip_global_norm(&net, &mut gradients, 2.0 * norm).unwrap(), norm);
    assert_eq!(all(&gradients), before, "below the limit nothing changes");

    assert_eq!(clip_global_norm(&net, &mut gradients, 0.3).unwrap(), norm);
    let scale = (0.3 / (norm + 1e-6)) as f32;
    assert_eq!(all(&gradients), before.iter().map(|g| g * scale).collect::<Vec<_>>());
    assert!((global_norm(&net, &mut gradients).unwrap() - 0.3).abs() < 1e-6);
}

#[test]
fn a_scaled_step_equals_clipping_and_a_step() {
    let device = Device::flex().autodiff();
    let (mut clipped, mut scaled) = (net(&device), net(&device));
    let config = AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() };
    let mut optims = [PagedAdamW::new(config.clone()).unwrap(), PagedAdamW::new(config).unwrap()];
    let all =
        |net: &Net| net.layers.iter().flat_map(|Either::Left(half)| values(&half.weight)).collect::<Vec<_>>();
    for max_norm in [0.3, 1e9] {
        let mut gradients = grads(&clipped);
        let norm = clip_global_norm(&clipped, &mut gradients, max_norm).unwrap();
        clipped = optims[0].step_module(clipped, &mut gradients, &|_| 0.01).unwrap();
        let mut gradients = grads(&scaled);
        assert_eq!(global_norm(&scaled, &mut gradients).unwrap(), norm);
        let scale = clip_scale(norm, max_norm);
        assert_eq!(scale < 1.0, max_norm < 1.0);
        scaled = optims[1].step_module_scaled(scaled, &mut gradients, &|_| 0.01, scale).unwrap();
        assert!(gradients.is_empty());
        assert_eq!(all(&scaled), all(&clipped));
    }
    assert_eq!(optims[0].moments("layers.0.weight").unwrap(), optims[1].moments("layers.0.weight").unwrap());
    let error = optims[1].step_module_scaled(scaled, &mut grads(&clipped), &|_| 0.01, f32::NAN).unwrap_err();
    assert!(matches!(error, OptimError::Setting { name: "grad_scale", .. }), "{error}");
}
