//! Every kernel of the crate as a specimen.

use super::specimen::Specimen;
use super::{product, sparse_rows};
use crate::{
    adamw, blockwise4, causal_attention, linear_cross_entropy, linear4bit, paged_attention, rms_norm, rotary,
    swiglu,
};

/// Every kernel of the crate.
pub fn specimens() -> Vec<Specimen> {
    [
        blockwise4::cube::specimens(),
        linear4bit::cube::specimens(),
        product::specimens(),
        rms_norm::cube::specimens(),
        swiglu::cube::specimens(),
        rotary::cube::specimens(),
        linear_cross_entropy::cube::specimens(),
        causal_attention::cube::specimens(),
        paged_attention::cube::specimens(),
        adamw::cube::specimens(),
        sparse_rows::specimens(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
