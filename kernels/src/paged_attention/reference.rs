//! The plain form.

use super::PagedSequence;
use crate::causal_attention::reference::causal_attention;

/// The attention of one sequence of a pool, in f64.
///
/// `q` is `[rows, heads, d]`; `keys` is `[blocks, kv_heads, d, positions]`, `values`
/// `[blocks, kv_heads, positions, d]`. The sequence's keys and values are put in order, and that is
/// plain causal attention.
#[allow(clippy::too_many_arguments)]
pub fn paged_attention(
    q: &[f64],
    keys: &[f64],
    values: &[f64],
    scale: f64,
    sequence: &PagedSequence,
    heads: usize,
    kv_heads: usize,
    d: usize,
    positions: usize,
) -> Vec<f64> {
    let s = sequence.start + sequence.rows;
    let mut k = Vec::new();
    let mut v = Vec::new();
    for position in 0..s {
        let block = sequence.blocks[position / positions] as usize;
        let slot = position % positions;
        for head in 0..kv_heads {
            let start = (block * kv_heads + head) * d * positions;
            for c in 0..d {
                k.push(keys[start + c * positions + slot]);
                v.push(values[start + slot * d + c]);
            }
        }
    }
    causal_attention(q, &k, &v, scale, [1, sequence.rows, s], heads, kv_heads, d)
}
