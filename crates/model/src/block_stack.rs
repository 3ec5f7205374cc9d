//! The door through which a trainer walks a model block by block.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use camelid_kernels::{CuSeqlens, IGNORE_INDEX, linear_cross_entropy_with};
use camelid_lora::ForwardContext;

use crate::error::ModelError;
use crate::llama::{Block, Llama};

/// A model as an embedding, a stack of blocks and a head with its loss.
///
/// A trainer that keeps only the blocks' inputs runs `embed` and each `block`
/// forward, differentiates `head_loss`, and then walks back, recomputing one
/// block at a time, all with the same [`ForwardContext`]. Chaining all three with
/// gradients gives the same numbers.
pub trait BlockStack: Module {
    /// One block, whose parameters can be visited alone.
    type Block: Module;

    /// Token embeddings: `[batch, seq]` to `[batch, seq, hidden]`. Differentiable
    /// in the embedding when that is trainable. Adapters of the embedding take part where
    /// `ctx` says so.
    ///
    /// # Panics
    /// When an id is outside the vocabulary.
    fn embed(&self, ids: Tensor<2, Int>, ctx: &ForwardContext) -> Tensor<3>;

    /// Number of blocks.
    fn num_blocks(&self) -> usize {
        self.blocks().len()
    }

    /// The blocks in order.
    fn blocks(&self) -> &[Self::Block];

    /// Whether the blocks' weights pass through memory one after the other. A walk then has to
    /// call [`BlockStack::prepare_block`], and to differentiate a block before it goes on to
    /// the next.
    fn streams(&self) -> bool {
        false
    }

    /// Makes block `i` ready to be run and differentiated, and lets go of the one prepared before.
    ///
    /// # Errors
    /// When its weights cannot be read.
    fn prepare_block(&self, _i: usize) -> Result<(), ModelError> {
        Ok(())
    }

    /// Lets go of blocks that were read without being prepared.
    ///
    /// # Errors
    /// When the system declines.
    fn release_strays(&self) -> Result<(), ModelError> {
        Ok(())
    }

    /// Runs block `i`: `[batch, seq, hidden]` to the same shape.
    ///
    /// # Panics
    /// When `i` is not below [`BlockStack::num_blocks`].
    fn block(&self, i: usize, x: Tensor<3>, ctx: &ForwardContext) -> Tensor<3>;

    /// Runs block `i` on packed sequences, so that nothing is padding: `[1, positions, hidden]`
    /// to the same shape, as many positions as `cu_seqlens` counts.
    ///
    /// Unless a model does better, each sequence goes through [`BlockStack::block`] alone.
    /// [`BlockStack::embed`] and [`BlockStack::head_loss`] need no such form: give them the
    /// ids and labels as one row, the first label of each sequence ignored.
    ///
    /// # Panics
    /// When `i` is not below [`BlockStack::num_blocks`], or `cu_seqlens` does not fit `x`.
    fn block_varlen(
        &self,
        i: usize,
        x: Tensor<3>,
        cu_seqlens: &CuSeqlens,
        ctx: &ForwardContext,
    ) -> Tensor<3> {
        let alone = |range: Range<usize>| self.block(i, x.clone().narrow(1, range.start, range.len()), ctx);
        Tensor::cat(cu_seqlens.ranges().map(alone).collect(), 1)
    }

    /// Sum over the supervised positions of the negative log-likelihood, in nats.
    ///
    /// `labels` are aligned with the input ids, as in transformers: position `t`
    /// of `x` predicts `labels[.., t + 1]`; `IGNORE_INDEX` carries no loss.
    /// [`supervised_tokens`] counts what the sum runs over. Adapters of the final norm and the
    /// head take part where `ctx` says so, without dropout.
    ///
    /// # Shapes
    /// - `x`: `[batch, seq, hidden]`, the output of the last block
    /// - `labels`: `[batch, seq]`
    /// - result: `[1]`
    ///
    /// # Panics
    /// When a label is neither ignored nor inside the vocabulary.
    fn head_loss(&self, x: Tensor<3>, labels: Tensor<2, Int>, ctx: &ForwardContext) -> Tensor<1>;
}

/// Number of labels that [`BlockStack::head_loss`] sums over: those not ignored,
/// except each row's first, which nothing predicts.
///
/// `labels` holds rows of `seq` values.
pub fn supervised_tokens(labels: &[i64], seq: usize) -> usize {
    labels
        .chunks(seq.max(1))
        .flat_map(|row| row.iter().skip(1))
        .filter(|label| **label != IGNORE_INDEX)
        .count()
}

impl BlockStack for Llama {
    type Block = Block;

    fn embed(&self, ids: Tensor<2, Int>, ctx: &ForwardContext) -> Tensor<3> {
        self.embed_ids(ids, ctx)
    }

    fn blocks(&self) -> &[Block] {
        &self.layers
    }

    fn streams(&self) -> bool {
        self.stream().is_some()
    }

    fn prepare_block(&self, i: usize) -> Result<(), ModelError> {
        self.enter_block(i)
    }

    fn release_strays(&self) -> Result<(), ModelError> {
        self.stream().map_or(Ok(()), |stream| stream.release_strays())
    }

    fn block(&self, i: usize, x: Tensor<3>, ctx: &ForwardContext) -> Tensor<3> {
        self.block_forward(i, x, ctx)
    }

    fn block_varlen(
        &self,
        i: usize,
        x: Tensor<3>,
        cu_seqlens: &CuSeqlens,
        ctx: &ForwardContext,
    ) -> Tensor<3> {
        self.block_forward_varlen(i, x, cu_seqlens, ctx)
    }

    fn head_loss(&self, x: Tensor<3>, labels: Tensor<2, Int>, ctx: &ForwardContext) -> Tensor<1> {
        let [batch, seq, hidden] = x.dims();
        // Each position's target is the label after it; the last has none. The
        // hidden rows stay where they are: dropping the last would copy them all.
        let none = TensorData::new(vec![IGNORE_INDEX; batch], [batch, 1]);
        let none = Tensor::<2, Int>::from_data(none, (&labels.device(), labels.dtype()));
        let targets = if seq < 2 { none } else { Tensor::cat(vec![labels.narrow(1, 1, seq - 1), none], 1) };
        let rows = self.norm.forward(x, ctx).reshape([batch * seq, hidden]);
        let targets = targets.reshape([batch * seq]);
        linear_cross_entropy_with(rows, self.head_weight(ctx), targets, self.compute_type())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supervised_tokens_leave_out_ignored_and_first_labels() {
        let i = IGNORE_INDEX;
        assert_eq!(supervised_tokens(&[5, 6, i, i, 7, 8], 3), 3);
        assert_eq!(supervised_tokens(&[5, i, i], 3), 0);
        assert_eq!(supervised_tokens(&[], 3), 0);
    }
}
