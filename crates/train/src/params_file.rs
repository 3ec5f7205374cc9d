//! Trainable parameters by path, to and from a safetensors file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData};
use camelid_paged_optim::ParamPath;
use safetensors::tensor::{Dtype, SafeTensors, View};

use crate::TrainError;

/// Writes every parameter that requires a gradient as `F32`, named by its path (an adapter's
/// factors; the whole model in full fine-tuning). Same parameters, same bytes; one tensor at a
/// time is copied. The file is durable afterwards; that it appears whole is for its folder to see
/// to, which gets its name when it is complete.
pub(crate) fn save<M: Module>(module: &M, path: &Path) -> Result<(), TrainError> {
    let mut collect = Collect { path: ParamPath::default(), tensors: BTreeMap::new() };
    module.visit(&mut collect);
    if let Some((name, other)) = collect.tensors.iter().find(|(_, t)| t.dtype != DType::F32) {
        let reason = format!("is {:?}; only F32 parameters are trained", other.dtype);
        return Err(TrainError::Tensor { name: name.clone(), reason });
    }
    let failed = TrainError::file(path, "write");
    safetensors::serialize_to_file(collect.tensors, None, path)
        .map_err(|error| failed(std::io::Error::other(error)))?;
    std::fs::File::open(path).and_then(|file| file.sync_all()).map_err(failed)
}

/// `module` with its trainable parameters taken from a file that [`save`] wrote. Names and shapes
/// must agree exactly.
pub(crate) fn load<M: Module>(module: M, path: &Path) -> Result<M, TrainError> {
    let bytes = std::fs::read(path).map_err(TrainError::file(path, "read"))?;
    let bad = |reason: String| TrainError::Checkpoint { path: path.to_owned(), reason };
    let stored = SafeTensors::deserialize(&bytes).map_err(|error| bad(error.to_string()))?;
    let mut fill = Fill { path: ParamPath::default(), stored: &stored, used: 0, problem: None };
    let module = module.map(&mut fill);
    if let Some(reason) = fill.problem {
        return Err(bad(reason));
    }
    if fill.used != stored.len() {
        return Err(bad(format!(
            "it holds {} tensors, of which this model trains {}: it belongs to another model or \
             adapter",
            stored.len(),
            fill.used
        )));
    }
    Ok(module)
}

struct Collect {
    path: ParamPath,
    tensors: BTreeMap<String, Stored>,
}

/// A parameter to be written: its values are fetched when their turn comes.
struct Stored {
    dtype: DType,
    shape: Vec<usize>,
    fetch: Box<dyn Fn() -> TensorData>,
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned((self.fetch)().as_bytes().to_vec())
    }

    fn data_len(&self) -> usize {
        4 * self.shape.iter().product::<usize>()
    }
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            let value = param.val();
            let (dtype, shape) = (value.dtype(), value.shape().to_vec());
            let fetch = Box::new(move || value.to_data());
            self.tensors.insert(self.path.dotted(), Stored { dtype, shape, fetch });
        }
    }
}

struct Fill<'a> {
    path: ParamPath,
    stored: &'a SafeTensors<'a>,
    used: usize,
    problem: Option<String>,
}

impl Fill<'_> {
    /// The stored values of the current path, when type and shape are right.
    fn values(&self, shape: &[usize]) -> Result<Vec<f32>, String> {
        let name = self.path.dotted();
        let Ok(view) = self.stored.tensor(&name) else {
            return Err(format!("`{name}` {shape:?} is missing: it belongs to another model or adapter"));
        };
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            return Err(format!("`{name}` is {} {:?}, expected F32 {shape:?}", view.dtype(), view.shape()));
        }
        Ok(bytemuck::pod_collect_to_vec(view.data()))
    }
}

impl ModuleMapper for Fill<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_require_grad() || self.problem.is_some() {
            return param;
        }
        let shape = param.shape();
        match self.values(shape.as_slice()) {
            Ok(values) => {
                self.used += 1;
                let (id, old, mapper) = param.consume();
                let data = TensorData::new(values, shape);
                let value = Tensor::<D>::from_data(data, (&old.device(), DType::F32));
                Param::from_mapped_value(id, value.require_grad(), mapper)
            }
            Err(problem) => {
                self.problem = Some(problem);
                param
            }
        }
    }
}
