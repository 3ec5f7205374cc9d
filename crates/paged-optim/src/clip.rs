//! Gradient clipping by the global norm.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use crate::OptimError;
use crate::module::ParamPath;

/// Added to the norm before dividing, as in torch.
const EPS: f64 = 1e-6;
/// Length of the runs whose sums are added one after the other: the result does not depend on
/// the number of threads.
const RUN: usize = 4096;

/// Sum of the squares of `values`, in `f64`.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let square = |v: &f32| f64::from(*v) * f64::from(*v);
    let runs: Vec<f64> = values.par_chunks(RUN).map(|run| run.iter().map(square).sum::<f64>()).collect();
    runs.iter().sum()
}

/// 2-norm of all of `module`'s gradients together: the square root of the sum of all squares.
///
/// # Errors
/// [`OptimError::Device`] or [`OptimError::NotF32`] when a gradient cannot be read as `f32`.
pub fn global_norm<M: Module>(module: &M, grads: &mut GradientsParams) -> Result<f64, OptimError> {
    let mut visitor = EachGradient { grads, path: ParamPath::default(), sum: 0.0, error: None };
    module.visit(&mut visitor);
    match visitor.error {
        Some(error) => Err(error),
        None => Ok(visitor.sum.sqrt()),
    }
}

/// Scales all gradients by `min(1, max_norm / (norm + 1e-6))` and returns the norm before
/// (`torch.nn.utils.clip_grad_norm_`). A norm that is not finite leaves the gradients alone, for
/// the caller to see.
///
/// # Errors
/// As [`global_norm`], and [`OptimError::Setting`] for a `max_norm` that is negative or not a number.
pub fn clip_global_norm<M: Module>(
    module: &M,
    grads: &mut GradientsParams,
    max_norm: f64,
) -> Result<f64, OptimError> {
    if max_norm.is_nan() || max_norm < 0.0 {
        return Err(OptimError::Setting { name: "max_norm", value: max_norm, expected: "a value >= 0" });
    }
    let norm = global_norm(module, grads)?;
    let scale = max_norm / (norm + EPS);
    if norm.is_finite() && scale < 1.0 {
        module.visit(&mut Scale { grads, by: scale as f32 });
    }
    Ok(norm)
}

/// Adds up squares, parameter after parameter in the module's order.
struct EachGradient<'a> {
    grads: &'a mut GradientsParams,
    path: ParamPath,
    sum: f64,
    error: Option<OptimError>,
}

impl ModuleVisitor for EachGradient<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // Taken out and put back: a gradient that has one owner is read without a copy.
        let Some(grad) = self.grads.remove::<D>(param.id) else { return };
        let (device, shape) = (grad.device(), grad.shape());
        match self.path.values(grad) {
            Ok(values) => {
                self.sum += sum_of_squares(&values);
                let grad = Tensor::<D>::from_data(TensorData::new(values, shape), &device);
                self.grads.register(param.id, grad);
            }
            Err(error) => self.error = self.error.take().or(Some(error)),
        }
    }
}

struct Scale<'a> {
    grads: &'a mut GradientsParams,
    by: f32,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.remove::<D>(param.id) {
            self.grads.register(param.id, grad.mul_scalar(self.by));
        }
    }
}
