//! What a checkpoint belongs to: a base model and a training set.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Int, Tensor};
use camelid_data::Example;
use camelid_files::digest::Sum;
use camelid_paged_optim::ParamPath;

/// SHA-256 over the model a run starts from: path, type and shape of every parameter, and the
/// values of those that training does not change. A model all of whose parameters train
/// contributes all its values.
pub fn model_fingerprint<M: Module>(model: &M) -> String {
    let mut census = Census { frozen: false };
    model.visit(&mut census);
    let mut hash = HashParams { path: ParamPath::default(), sha: Sum::default(), all_values: !census.frozen };
    model.visit(&mut hash);
    hash.sha.finish()
}

/// SHA-256 over the examples: ids and labels, in order.
pub(crate) fn data_fingerprint(examples: &[Example]) -> String {
    let mut sha = Sum::default();
    for example in examples {
        sha.add((example.ids.len() as u64).to_le_bytes());
        sha.add(bytemuck::cast_slice::<_, u8>(&example.ids));
        sha.add(bytemuck::cast_slice::<_, u8>(&example.labels));
    }
    sha.finish()
}

/// Whether any float parameter is frozen.
struct Census {
    frozen: bool,
}

impl ModuleVisitor for Census {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.frozen |= !param.is_require_grad();
    }
}

struct HashParams {
    path: ParamPath,
    sha: Sum,
    all_values: bool,
}

impl HashParams {
    fn describe(&mut self, dtype: String, shape: &[usize]) {
        self.sha.add(format!("{} {dtype} {shape:?}\n", self.path.dotted()));
    }
}

impl ModuleVisitor for HashParams {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        self.describe(format!("{:?}", value.dtype()), value.shape().as_slice());
        if self.all_values || !param.is_require_grad() {
            self.sha.add(value.into_data().as_bytes());
        }
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        let value = param.val();
        self.describe(format!("{:?}", value.dtype()), value.shape().as_slice());
        self.sha.add(value.into_data().as_bytes());
    }
}
