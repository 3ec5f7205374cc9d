//! Causal attention of many sequences at once over a cache in blocks.
//!
//! PagedAttention (Kwon et al. 2023): the keys and values of a sequence lie in blocks of equal size
//! anywhere in a pool, and a table says which block holds which of its positions. The rows of a call
//! are those of all sequences end to end, one for a sequence that generates, many for one whose
//! prompt is read. There is no gradient.
//!
//! Within a block keys lie transposed, `[head_dim, positions]`: the scores of a run of positions are
//! then one vector, and none is summed across its lanes.

mod cpu;
#[cfg(feature = "cube")]
pub(crate) mod cube;
mod op;
pub mod reference;
mod rows;

pub use op::{PagedAttentionOp, paged_append, paged_attention};
pub use rows::{PagedRows, PagedSequence};

/// The positions of a block are a multiple of this: vectors of scores are whole.
pub const POSITIONS_STEP: usize = crate::lanes::LANES;

/// Sizes of a pool, from the shape of its keys.
#[derive(Clone, Copy, Debug)]
struct Pool {
    blocks: usize,
    /// Heads of keys and values.
    heads: usize,
    d: usize,
    /// Positions of a block.
    positions: usize,
}

impl Pool {
    /// # Panics
    /// If the shapes are not those of a pool.
    fn of(keys: &[usize], values: &[usize]) -> Self {
        let &[blocks, heads, d, positions] = keys else {
            panic!(
                "paged_attention: keys have the shape [blocks, kv_heads, head_dim, positions], not {keys:?}"
            );
        };
        assert_eq!(
            values,
            [blocks, heads, positions, d],
            "paged_attention: values, [blocks, kv_heads, positions, head_dim], beside keys {keys:?}"
        );
        assert!(
            heads > 0 && d > 0 && positions > 0 && positions.is_multiple_of(POSITIONS_STEP),
            "paged_attention: keys {keys:?}; a block holds a multiple of {POSITIONS_STEP} positions"
        );
        Self { blocks, heads, d, positions }
    }

    /// # Panics
    /// If new keys and values are not those of the rows, or a sequence lacks a block.
    fn check_new(&self, k: &[usize], v: &[usize], rows: &PagedRows) {
        let shape = [rows.total(), self.heads, self.d];
        assert!(
            k == shape && v == shape,
            "paged_append: new keys {k:?} and values {v:?}, [rows, kv_heads, head_dim] is {shape:?}"
        );
        rows.check(shape[0], *self);
    }

    /// The heads of queries of a shape.
    ///
    /// # Panics
    /// If they are not those of the rows, or a sequence lacks a block.
    fn check_queries(&self, q: &[usize], rows: &PagedRows) -> usize {
        let &[total, heads, d] = q else {
            panic!("paged_attention: q has the shape [rows, heads, head_dim], not {q:?}");
        };
        assert!(
            d == self.d && heads.is_multiple_of(self.heads),
            "paged_attention: q {q:?} against {} heads of {} in the pool",
            self.heads,
            self.d
        );
        rows.check(total, *self);
        heads
    }

    /// Elements of one head of one block.
    fn head_len(&self) -> usize {
        self.d * self.positions
    }

    /// Where a head of a block begins.
    fn head_start(&self, block: u32, head: usize) -> usize {
        (block as usize * self.heads + head) * self.head_len()
    }
}
