//! From settings to the kernels: the scalars of a step, and the update of one page.

use camelid_kernels::adamw::{self, Hyper, Moment8, Step};
use camelid_kernels::blockwise4::Rounding;

use crate::page::PageData;
use crate::{AdamWConfig, StateBits};

/// One step of one tensor; see [`camelid_kernels::adamw`] for its arithmetic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update {
    step: Step,
    rounding: Rounding,
    bits: StateBits,
}

impl Update {
    /// Step `t`, counted from 1, of a tensor with state of `bits`, from gradients times
    /// `grad_scale`.
    pub(crate) fn new(config: &AdamWConfig, bits: StateBits, lr: f64, t: u64, grad_scale: f32) -> Self {
        let &AdamWConfig { beta1, beta2, eps, weight_decay, rounding, .. } = config;
        let hyper = Hyper { beta1, beta2, eps, weight_decay };
        Self { step: Step::new(&hyper, lr, t).with_grad_scale(grad_scale), rounding, bits }
    }

    /// Updates the parameters of one page, and the page.
    pub(crate) fn page(&self, p: &mut [f32], g: &[f32], data: &mut PageData) {
        let [m, v] = &mut data.floats;
        let [m_codes, v_codes] = &mut data.codes;
        match self.bits {
            StateBits::Bits32 => adamw::update_f32(&self.step, p, g, m, v),
            StateBits::Bits8 => {
                let m = Moment8 { codes: m_codes, absmax: m };
                let v = Moment8 { codes: v_codes, absmax: v };
                adamw::update_8bit(&self.step, self.rounding, p, g, m, v);
            }
        }
    }
}
