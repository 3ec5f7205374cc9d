//! Burn modules: parameters by path, and a step over all of them.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor, TensorData};

use crate::optimizer::{check_finite, check_scale, check_step};
use crate::{OptimError, PagedAdamW};

impl PagedAdamW {
    /// Makes the state of every trainable parameter that has a gradient, so that
    /// [`Self::step_module`] cannot run out of space half way. Borrowing the module, it leaves
    /// the caller with everything when it fails.
    ///
    /// # Errors
    /// As [`Self::reserve`], and [`OptimError::NotF32`].
    pub fn reserve_module<M: Module>(
        &mut self,
        module: &M,
        grads: &GradientsParams,
    ) -> Result<(), OptimError> {
        let mut visitor = Reserve { optim: self, grads, path: ParamPath::default(), error: None };
        module.visit(&mut visitor);
        visitor.error.map_or(Ok(()), Err)
    }

    /// One step of every trainable parameter that has a gradient in `grads`; the others, frozen
    /// or without gradient, stay as they are. Gradients are consumed. Keys are the dotted paths
    /// of [`named_float_params`]; `lr` gives the learning rate of a path.
    ///
    /// # Errors
    /// As [`Self::reserve_module`], and [`OptimError::LearningRate`], [`OptimError::Length`] and
    /// [`OptimError::NonFinite`], for whichever parameter: before any of them or of the state
    /// moved, but without the module, which a caller who wants it back has to clone. Else
    /// [`OptimError::SpillIo`] or [`OptimError::Device`], halfway: go back to a checkpoint.
    pub fn step_module<M: Module>(
        &mut self,
        module: M,
        grads: &mut GradientsParams,
        lr: &dyn Fn(&str) -> f64,
    ) -> Result<M, OptimError> {
        self.step_each(module, grads, lr, None)
    }

    /// As [`Self::step_module`] with all gradients times `grad_scale`, as clipping by the global
    /// norm asks for: scaled on the way, in the pass that updates.
    ///
    /// Whether gradients are finite is not looked at again: a finite
    /// [`global_norm`](crate::global_norm) shows that they are.
    ///
    /// ```
    /// use burn::{module::Module, nn::LinearConfig, optim::GradientsParams, tensor::{Device, Tensor}};
    /// use camelid_paged_optim::{AdamWConfig, PagedAdamW, clip_scale, global_norm};
    ///
    /// # fn main() -> Result<(), camelid_paged_optim::OptimError> {
    /// # let device = Device::flex().autodiff();
    /// let mut optim = PagedAdamW::new(AdamWConfig::default())?;
    /// let model = LinearConfig::new(4, 2).init(&device);
    /// let loss = model.forward(Tensor::<2>::ones([1, 4], &device)).sum();
    /// let mut grads = GradientsParams::from_grads(loss.backward(), &model);
    /// let norm = global_norm(&model, &mut grads)?;
    /// assert!(norm.is_finite());
    /// let model = optim.step_module_scaled(model, &mut grads, &|_| 1e-3, clip_scale(norm, 0.3))?;
    /// # assert_eq!(model.num_params(), 10);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::step_module`], without [`OptimError::NonFinite`], and [`OptimError::Setting`]
    /// for a scale that is negative or not finite.
    pub fn step_module_scaled<M: Module>(
        &mut self,
        module: M,
        grads: &mut GradientsParams,
        lr: &dyn Fn(&str) -> f64,
        grad_scale: f32,
    ) -> Result<M, OptimError> {
        check_scale(grad_scale)?;
        self.step_each(module, grads, lr, Some(grad_scale))
    }

    /// Without a scale gradients are taken as they are, and checked.
    fn step_each<M: Module>(
        &mut self,
        module: M,
        grads: &mut GradientsParams,
        lr: &dyn Fn(&str) -> f64,
        grad_scale: Option<f32>,
    ) -> Result<M, OptimError> {
        let values = grad_scale.is_none();
        let mut check = Check { grads, lr, values, path: ParamPath::default(), error: None };
        module.visit(&mut check);
        check.error.map_or(Ok(()), Err)?;
        self.reserve_module(&module, grads)?;
        let grad_scale = grad_scale.unwrap_or(1.0);
        let mut mapper =
            StepMapper { optim: self, grads, lr, grad_scale, path: ParamPath::default(), error: None };
        let module = module.map(&mut mapper);
        match mapper.error {
            Some(error) => Err(error),
            None => Ok(module),
        }
    }
}

/// Every float parameter with its dotted path, in the module's order. Paths are made of field
/// names and indices (names of enum variants are left out), so they are the same in every
/// process, unlike [`ParamId`]s.
pub fn named_float_params<M: Module>(module: &M) -> Vec<(String, ParamId)> {
    named(module, false)
}

/// The parameters of [`named_float_params`] that require a gradient.
pub fn named_trainable_params<M: Module>(module: &M) -> Vec<(String, ParamId)> {
    named(module, true)
}

fn named<M: Module>(module: &M, trainable_only: bool) -> Vec<(String, ParamId)> {
    let mut names = Names { path: ParamPath::default(), trainable_only, found: vec![] };
    module.visit(&mut names);
    names.found
}

/// The dotted path of the parameter that a visitor or mapper is at: field names and indices.
/// Names of enum variants are left out, so a path is the same whether, say, a layer is dense or
/// packed. Feed it from `enter_module` and `exit_module`.
#[derive(Clone, Debug, Default)]
pub struct ParamPath(Vec<String>);

impl ParamPath {
    /// A module begins.
    pub fn enter(&mut self, name: &str, container_type: &str) {
        if !container_type.starts_with("Enum:") {
            self.0.push(name.to_owned());
        }
    }

    /// It ends.
    pub fn exit(&mut self, container_type: &str) {
        if !container_type.starts_with("Enum:") {
            self.0.pop();
        }
    }

    /// The path, as in `layers.0.mlp.up_proj.weight`.
    pub fn dotted(&self) -> String {
        self.0.join(".")
    }

    /// The tensor's f32 values in the buffer they are in, where it is their only owner.
    pub(crate) fn data<const D: usize>(&self, tensor: Tensor<D>) -> Result<TensorData, OptimError> {
        if tensor.dtype() != DType::F32 {
            let found = format!("{:?}", tensor.dtype());
            return Err(OptimError::NotF32 { key: self.dotted(), found });
        }
        tensor.try_into_data().map_err(|error| self.device_error(error))
    }

    pub(crate) fn device_error(&self, error: impl std::error::Error + Send + Sync + 'static) -> OptimError {
        OptimError::Device { key: self.dotted(), source: Box::new(error) }
    }
}

/// The values of a gradient that is taken out of `grads` to be read, and put back: one that has
/// one owner is read without a copy. `None` where there is no gradient.
pub(crate) fn read_gradient<const D: usize, R>(
    grads: &mut GradientsParams,
    path: &ParamPath,
    id: ParamId,
    read: impl FnOnce(&[f32]) -> Result<R, OptimError>,
) -> Option<Result<R, OptimError>> {
    let grad = grads.remove::<D>(id)?;
    let device = grad.device();
    Some(path.data(grad).and_then(|data| {
        let outcome = read(data.as_slice::<f32>().map_err(|error| path.device_error(error))?)?;
        grads.register(id, Tensor::<D>::from_data(data, &device));
        Ok(outcome)
    }))
}

struct Names {
    path: ParamPath,
    trainable_only: bool,
    found: Vec<(String, ParamId)>,
}

impl ModuleVisitor for Names {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.trainable_only || param.is_require_grad() {
            self.found.push((self.path.dotted(), param.id));
        }
    }
}

struct Reserve<'a> {
    optim: &'a mut PagedAdamW,
    grads: &'a GradientsParams,
    path: ParamPath,
    error: Option<OptimError>,
}

impl ModuleVisitor for Reserve<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let has_gradient = param.is_require_grad() && self.grads.get::<D>(param.id).is_some();
        if self.error.is_some() || !has_gradient {
            return;
        }
        let (key, value) = (self.path.dotted(), param.val());
        let outcome = match value.dtype() {
            DType::F32 => self.optim.reserve(&key, value.shape().num_elements()),
            other => Err(OptimError::NotF32 { key, found: format!("{other:?}") }),
        };
        self.error = outcome.err();
    }
}

/// Checks rate and gradient of every parameter that is going to move.
struct Check<'a> {
    grads: &'a mut GradientsParams,
    lr: &'a dyn Fn(&str) -> f64,
    /// Whether to look at the gradients' values.
    values: bool,
    path: ParamPath,
    error: Option<OptimError>,
}

impl Check<'_> {
    fn check<const D: usize>(&mut self, param: &Param<Tensor<D>>) -> Result<(), OptimError> {
        let Some(grad) = self.grads.get::<D>(param.id) else { return Ok(()) };
        let key = self.path.dotted();
        if grad.dtype() != DType::F32 {
            return Err(OptimError::NotF32 { key, found: format!("{:?}", grad.dtype()) });
        }
        let grad_len = grad.shape().num_elements();
        drop(grad); // its buffer then has one owner again
        check_step(&key, (self.lr)(&key), param.shape().num_elements(), grad_len)?;
        if self.values {
            let finite = |values: &[f32]| check_finite(&key, values);
            read_gradient::<D, ()>(self.grads, &self.path, param.id, finite).unwrap_or(Ok(()))?;
        }
        Ok(())
    }
}

impl ModuleVisitor for Check<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.error.is_none() && param.is_require_grad() {
            self.error = self.check(param).err();
        }
    }
}

struct StepMapper<'a> {
    optim: &'a mut PagedAdamW,
    grads: &'a mut GradientsParams,
    lr: &'a dyn Fn(&str) -> f64,
    grad_scale: f32,
    path: ParamPath,
    error: Option<OptimError>,
}

impl StepMapper<'_> {
    /// Parameter and gradient in the buffers they come in, where nothing else holds these.
    fn stepped<const D: usize>(
        &mut self,
        value: Tensor<D>,
        grad: Tensor<D>,
    ) -> Result<Tensor<D>, OptimError> {
        let device = value.device();
        let strategy = value.gradient_checkpointing_strategy();
        let mut value = self.path.data(value.inner())?;
        let grad = self.path.data(grad)?;
        let key = self.path.dotted();
        let values = value.as_mut_slice::<f32>().map_err(|error| self.path.device_error(error))?;
        let grad = grad.as_slice::<f32>().map_err(|error| self.path.device_error(error))?;
        self.optim.step_checked(&key, (self.lr)(&key), self.grad_scale, values, grad)?;
        let value = Tensor::<D>::from_data(value, &device);
        Ok(match strategy {
            Some(strategy) => value.with_gradient_checkpointing_strategy(strategy),
            None => value,
        })
    }
}

impl ModuleMapper for StepMapper<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.error.is_some() || !param.is_require_grad() {
            return param;
        }
        let Some(grad) = self.grads.remove::<D>(param.id) else { return param };
        let device = param.device();
        let (id, value, mapper) = param.consume();
        match self.stepped(value, grad) {
            Ok(value) => Param::from_mapped_value(id, value.require_grad(), mapper),
            Err(error) => {
                self.error = Some(error);
                // The caller gets the error, not the module: any value will do.
                Param::from_mapped_value(id, Tensor::zeros([0; D], &device), mapper)
            }
        }
    }
}
