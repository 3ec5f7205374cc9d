//! Sums of gradients.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Adds the gradients of `module`'s parameters to `to`.
pub(crate) fn add<M: Module>(module: &M, mut from: GradientsParams, to: &mut GradientsParams) {
    module.visit(&mut Add { from: &mut from, to });
}

struct Add<'a> {
    from: &'a mut GradientsParams,
    to: &'a mut GradientsParams,
}

impl ModuleVisitor for Add<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(grad) = self.from.remove::<D>(param.id) else { return };
        let sum = match self.to.remove::<D>(param.id) {
            Some(so_far) => so_far + grad,
            None => grad,
        };
        self.to.register(param.id, sum);
    }
}
