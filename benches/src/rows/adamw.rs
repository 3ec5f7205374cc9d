//! AdamW over 100 tensors of a million parameters.

use camelid_paged_optim::{AdamWConfig, PagedAdamW, StateBits};

use super::{PARAMETERS, Prepared};
use crate::BenchError;
use crate::inputs::weights;

const TENSORS: usize = 100;

pub(super) fn step(state: StateBits) -> Result<Prepared, BenchError> {
    let mut optim = PagedAdamW::new(AdamWConfig { state, ..AdamWConfig::default() })?;
    let names: Vec<String> = (0..TENSORS).map(|i| i.to_string()).collect();
    let values = weights(PARAMETERS / TENSORS);
    let mut parameters = vec![values.clone(); TENSORS];
    let gradients = vec![values; TENSORS];
    Ok(Prepared::timed(move || {
        for ((name, parameter), gradient) in names.iter().zip(&mut parameters).zip(&gradients) {
            // As the trainer does, which has looked at every gradient to clip.
            optim.step_scaled(name, 1e-4, 1.0, parameter, gradient)?;
        }
        Ok(())
    }))
}
