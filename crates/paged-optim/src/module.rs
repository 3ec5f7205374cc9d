//! Burn modules: parameters by path, and a step over all of them.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor, TensorData};

use crate::optimizer::check_step;
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
        let mut check = Check { grads, lr, path: ParamPath::default(), error: None };
        module.visit(&mut check);
        check.error.map_or(Ok(()), Err)?;
        self.reserve_module(&module, grads)?;
        let mut mapper = StepMapper { optim: self, grads, lr, path: ParamPath::default(), error: None };
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

    /// The tensor's values, without a copy where it is their only owner.
    pub(crate) fn values<const D: usize>(&self, tensor: Tensor<D>) -> Result<Vec<f32>, OptimError> {
        if tensor.dtype() != DType::F32 {
            let found = format!("{:?}", tensor.dtype());
            return Err(OptimError::NotF32 { key: self.dotted(), found });
        }
        let failed = |source| OptimError::Device { key: self.dotted(), source };
        tensor.into_data().try_into_vec::<f32>().map_err(|error| failed(Box::new(error)))
    }
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
    path: ParamPath,
    error: Option<OptimError>,
}

impl ModuleVisitor for Check<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.error.is_some() || !param.is_require_grad() {
            return;
        }
        // Taken out and put back: a gradient that has one owner is read without a copy.
        let Some(grad) = self.grads.remove::<D>(param.id) else { return };
        let (device, shape) = (grad.device(), grad.shape());
        let outcome = self.path.values(grad).and_then(|values| {
            let key = self.path.dotted();
            check_step(&key, (self.lr)(&key), param.shape().num_elements(), &values)?;
            Ok(values)
        });
        match outcome {
            Ok(values) => {
                let grad = Tensor::<D>::from_data(TensorData::new(values, shape), &device);
                self.grads.register(param.id, grad);
            }
            Err(error) => self.error = Some(error),
        }
    }
}

struct StepMapper<'a> {
    optim: &'a mut PagedAdamW,
    grads: &'a mut GradientsParams,
    lr: &'a dyn Fn(&str) -> f64,
    path: ParamPath,
    error: Option<OptimError>,
}

impl StepMapper<'_> {
    fn stepped<const D: usize>(
        &mut self,
        value: Tensor<D>,
        grad: Tensor<D>,
    ) -> Result<Tensor<D>, OptimError> {
        let (device, shape) = (value.device(), value.shape());
        let strategy = value.gradient_checkpointing_strategy();
        let mut values = self.path.values(value.inner())?;
        let grad = self.path.values(grad)?;
        let key = self.path.dotted();
        self.optim.step_checked(&key, (self.lr)(&key), &mut values, &grad)?;
        let value = Tensor::<D>::from_data(TensorData::new(values, shape), &device);
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
