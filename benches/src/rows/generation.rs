//! Greedy decoding and prefill of the NF4 model, one sequence.

use std::hint::black_box;
use std::ops::ControlFlow;

use burn::tensor::{Int, Tensor, TensorData};
use camelid_kernels::ComputeType;
use camelid_model::generate::generate_ids;
use camelid_model::{DenseStorage, GenerateOptions, KvCache, Llama};

use super::{NEW_TOKENS, PREFILL, PROMPT, Prepared};
use crate::{BenchError, device, llama_110m};

fn model(compute: ComputeType) -> Result<Llama, BenchError> {
    Ok(llama_110m::packed(DenseStorage::Bf16, &device()?)?.with_compute_type(compute))
}

pub(super) fn decode(compute: ComputeType) -> Result<Prepared, BenchError> {
    let model = model(compute)?;
    let prompt: Vec<u32> = (0..PROMPT as u32).collect();
    let options = GenerateOptions { max_new_tokens: NEW_TOKENS, ..GenerateOptions::default() };
    Ok(Prepared::timed(move || {
        black_box(generate_ids(&model, &prompt, &options, |_| Ok(ControlFlow::Continue(())))?);
        Ok(())
    }))
}

pub(super) fn prefill(compute: ComputeType) -> Result<Prepared, BenchError> {
    let model = model(compute)?;
    let ids: Vec<i64> = (0..PREFILL as i64).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, PREFILL]), &device()?);
    Ok(Prepared::timed(move || {
        let mut cache = KvCache::new(model.config().num_hidden_layers, PREFILL);
        black_box(model.forward_cached(ids.clone(), &mut cache));
        Ok(())
    }))
}
