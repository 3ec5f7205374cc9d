//! Gradient clipping by the global norm.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use camelid_kernels::adamw::sum_of_squares;

use crate::OptimError;
use crate::module::{ParamPath, read_gradient};

/// Added to the norm before dividing, as in torch.
const EPS: f64 = 1e-6;

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

/// What gradients of this norm are to be multiplied by so that it is at most `max_norm`:
/// `min(1, max_norm / (norm + 1e-6))`, as `torch.nn.utils.clip_grad_norm_` has it. 1 for a norm
/// that is not finite, which is for the caller to look at.
pub fn clip_scale(norm: f64, max_norm: f64) -> f32 {
    let scale = max_norm / (norm + EPS);
    if norm.is_finite() && scale < 1.0 { scale as f32 } else { 1.0 }
}

/// Scales all gradients by `min(1, max_norm / (norm + 1e-6))` and returns the norm before
/// (`torch.nn.utils.clip_grad_norm_`). A norm that is not finite leaves the gradients alone, for
/// the caller to see. Where a step follows, [`global_norm`], [`clip_scale`] and
/// [`PagedAdamW::step_module_scaled`](crate::PagedAdamW::step_module_scaled) do the same without
/// a pass of its own over the gradients.
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
    let scale = clip_scale(norm, max_norm);
    if scale < 1.0 {
        module.visit(&mut Scale { grads, by: scale });
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
        let square = |values: &[f32]| Ok(sum_of_squares(values));
        match read_gradient::<D, f64>(self.grads, &self.path, param.id, square) {
            None => {}
            Some(Ok(sum)) => self.sum += sum,
            Some(Err(error)) => self.error = self.error.take().or(Some(error)),
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
