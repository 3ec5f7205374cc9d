//! The CubeCL implementation: online softmax by tiles in shared memory, and a backward pass
//! that computes the scores again, once for the gradient of the queries and once for those of
//! keys and values. No score leaves its cube, and nothing is added atomically.

mod backward;
mod forward;
mod tile;

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use super::op::{AttentionGrad, AttentionInputs, AttentionOp};
use super::sequences::{Sequence, sizes};
use super::{CuSeqlens, Heads};
use crate::cube::buffers::{f32s, output};
use crate::cube::specimen::Specimen;

impl AttentionOp for CubeBackend {
    fn causal_attention_op(
        q: CubeTensor,
        k: CubeTensor,
        v: CubeTensor,
        scale: f32,
        cu_seqlens: Option<CuSeqlens>,
    ) -> (CubeTensor, CubeTensor) {
        let (sequences, heads) = sizes([&q, &k, &v].map(|x| x.shape().to_vec()), cu_seqlens.as_ref());
        let shape = q.shape().to_vec();
        let out = output(&q, q.shape(), DType::F32);
        let lse = output(&q, [shape[0], shape[1], heads.queries], DType::F32);
        forward::launch([&f32s(q), &f32s(k), &f32s(v)], [&out, &lse], scale, &sequences, heads);
        (out, lse)
    }
}

impl AttentionGrad for CubeBackend {
    fn causal_attention_grads(dy: CubeTensor, inputs: AttentionInputs<CubeTensor>) -> [CubeTensor; 3] {
        let AttentionInputs { q, k, v, out, lse, scale, cu_seqlens } = inputs;
        let (sequences, heads) = sizes([&q, &k, &v].map(|x| x.shape().to_vec()), cu_seqlens.as_ref());
        assert_eq!(dy.shape(), q.shape(), "causal_attention: the shapes of dy and q");
        let [q, k, v] = [q, k, v].map(f32s);
        let grads = [&q, &k, &v].map(|input| output(input, input.shape(), DType::F32));
        let inputs = backward::Inputs { dy: f32s(dy), q, k, v, out: f32s(out), lse: f32s(lse) };
        backward::launch(&inputs, &grads, scale, &sequences, heads);
        grads
    }
}

/// Numbers that describe a tile of queries: its first row, how many, the first row of their
/// keys, and how many keys its first query sees.
const QUERY_FIELDS: usize = 4;

/// The tiles of queries of all sequences.
fn query_tiles(sequences: &[Sequence], queries: usize) -> Vec<u32> {
    let tiles = |sequence: &Sequence| {
        let &Sequence { query, t, key, s } = sequence;
        (0..t)
            .step_by(queries)
            .flat_map(move |i| [query + i, queries.min(t - i), key, s - t + i + 1].map(|n| n as u32))
    };
    sequences.iter().flat_map(tiles).collect()
}

/// The shape of the specimens.
mod on_paper {
    pub const SHAPE: &str = "4 sequences of 512, 32 heads of 128";
    pub const D: usize = 128;
    pub const HEADS: usize = 32;
    pub const ROWS: usize = 4 * 512;
    /// Queries with keys that they see, over all heads.
    pub const PAIRS: f64 = (ROWS * HEADS) as f64 * 513.0 / 2.0;
    /// Of one tensor of queries, keys, values or results.
    pub const BYTES: f64 = 4.0 * (ROWS * HEADS * D) as f64;
}

pub(crate) fn specimens() -> Vec<Specimen> {
    [forward::specimens(), backward::specimens()].into_iter().flatten().collect()
}
