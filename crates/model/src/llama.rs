//! The LLaMA-family decoder.

mod adapters;
mod attention;
mod block;
mod cache;
mod folded;
mod load;
mod mapping;
mod mlp;
mod norm;
mod paged;
mod random;
mod save;
mod storage;
mod streamed;

use std::sync::Arc;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Int, Tensor};
use camelid_kernels::{ComputeType, CuSeqlens};
use camelid_lora::{Embedding, ForwardContext, LoraLinear};

use crate::config::{LlamaConfig, RopeScaling};
use crate::error::ModelError;
use crate::rope::Rope;
use crate::stream::BlockStream;

pub use attention::Attention;
pub use block::Block;
pub use cache::{KvCache, LayerCache};
pub use folded::FoldedWeights;
pub use mlp::Mlp;
pub use norm::RmsNorm;
pub(crate) use paged::{PagedCache, RowGroup, forward_paged, logits_paged};
pub use storage::{DenseStorage, LoadOptions, TableStorage, WeightStorage};
pub use streamed::StreamOptions;

/// A LLaMA-family causal language model (Touvron et al. 2023).
///
/// Module paths equal Hugging Face's below `model.`: `layers.0.self_attn.q_proj`
/// and so on. Whether it is full fine-tuning, LoRA or QLoRA depends only on what
/// its linear layers hold and which parameters require gradients.
///
/// For inference without gradient tracking use a copy made by `valid()`; it
/// shares the weights.
#[derive(Module, Debug)]
pub struct Llama {
    /// Token embedding.
    pub embed_tokens: Embedding,
    /// Decoder blocks.
    pub layers: Vec<Block>,
    /// Norm before the head.
    pub norm: RmsNorm,
    /// Head; `None` when it shares the embedding's weight.
    pub lm_head: Option<LoraLinear>,
    #[module(skip)]
    config: Arc<LlamaConfig>,
    #[module(skip)]
    rope: Rope,
    #[module(skip)]
    compute_type: ComputeType,
    #[module(skip)]
    stream: Option<Arc<BlockStream>>,
}

impl Llama {
    /// The configuration the model was made from.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// The same model with the products of its linear layers, head and loss in a given
    /// compute type; f32 unless set.
    pub fn with_compute_type(mut self, compute_type: ComputeType) -> Self {
        let blocks = self.layers.iter_mut().flat_map(|block| block.linears_mut());
        for linear in blocks.map(|(_, linear)| linear).chain(&mut self.lm_head) {
            linear.set_compute_type(compute_type);
        }
        self.compute_type = compute_type;
        self
    }

    /// The same model with its rotary frequencies stretched in another way, for contexts longer
    /// than it was made for.
    ///
    /// # Errors
    /// [`ModelError`] for a factor that no model can have.
    pub fn with_rope_scaling(mut self, scaling: RopeScaling) -> Result<Self, ModelError> {
        if let RopeScaling::Linear { factor } | RopeScaling::Llama3 { factor, .. } = scaling
            && !(factor.is_finite() && factor > 0.0)
        {
            return Err(ModelError::Unsupported {
                origin: "rope_scaling".into(),
                setting: "factor".into(),
                found: factor.to_string(),
                supported: "a positive number".into(),
            });
        }
        Arc::make_mut(&mut self.config).rope_scaling = scaling;
        self.rope = Rope::new(&self.config);
        Ok(self)
    }

    /// How the operands of its products are rounded.
    pub fn compute_type(&self) -> ComputeType {
        self.compute_type
    }

    /// Logits of every position.
    ///
    /// # Shapes
    /// - `ids`: `[batch, seq]`; all rows of one length
    /// - result: `[batch, seq, vocab_size]`
    ///
    /// # Panics
    /// When an id is outside the vocabulary: check with [`LlamaConfig::check_ids`]. When weights
    /// stream from a file that can no longer be read.
    pub fn forward(&self, ids: Tensor<2, Int>, ctx: &ForwardContext) -> Tensor<3> {
        self.head(self.hidden(ids, ctx), ctx)
    }

    /// What comes out of the last block and the final norm: `[batch, seq, hidden_size]`, as
    /// [`Llama::forward`].
    pub(crate) fn hidden(&self, ids: Tensor<2, Int>, ctx: &ForwardContext) -> Tensor<3> {
        self.norm.forward(self.last_block(ids, ctx, None), ctx)
    }

    /// Logits of the last position of `ids`, which follow what `cache` holds.
    ///
    /// # Shapes
    /// - `ids`: `[batch, seq]`, all rows of one length, `seq` at least 1
    /// - result: `[batch, vocab_size]`
    ///
    /// # Panics
    /// When an id is outside the vocabulary: check with [`LlamaConfig::check_ids`]. When weights
    /// stream from a file that can no longer be read.
    pub fn forward_cached(&self, ids: Tensor<2, Int>, cache: &mut KvCache) -> Tensor<2> {
        // Inside the pool one operation after the other starts without a hand-over
        // between threads, which for a single token would take as long as the work.
        rayon::scope(|_| self.forward_cached_here(ids, cache))
    }

    /// As [`Llama::forward_cached`], with the logits of every position of `ids`:
    /// `[batch, seq, vocab_size]`.
    ///
    /// # Panics
    /// As [`Llama::forward_cached`].
    pub fn forward_cached_all(&self, ids: Tensor<2, Int>, cache: &mut KvCache) -> Tensor<3> {
        let ctx = ForwardContext::evaluation();
        rayon::scope(|_| self.logits(self.last_block(ids, &ctx, Some(cache)), &ctx))
    }

    /// Adds the keys and values of `ids` to `cache`, as [`Llama::forward_cached`] does, and
    /// asks for no logits: the head is the widest layer.
    ///
    /// # Panics
    /// When an id is outside the vocabulary: check with [`LlamaConfig::check_ids`].
    pub fn fill_cache(&self, ids: Tensor<2, Int>, cache: &mut KvCache) {
        rayon::scope(|_| self.last_block(ids, &ForwardContext::evaluation(), Some(cache)));
    }

    fn forward_cached_here(&self, ids: Tensor<2, Int>, cache: &mut KvCache) -> Tensor<2> {
        let [batch, seq] = ids.dims();
        let ctx = ForwardContext::evaluation();
        let x = self.last_block(ids, &ctx, Some(cache));
        self.logits(x.narrow(1, seq - 1, 1), &ctx).reshape([batch, self.config.vocab_size])
    }

    /// What comes out of the last block; with a cache `ids` follow what it holds.
    fn last_block(
        &self,
        ids: Tensor<2, Int>,
        ctx: &ForwardContext,
        cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        let mut x = self.embed_ids(ids, ctx);
        let mut cached = cache.map(|cache| cache.layers_mut().iter_mut());
        for (i, block) in self.layers.iter().enumerate() {
            self.expect_block(i);
            x = block.forward(x, &self.rope, ctx, cached.as_mut().and_then(Iterator::next));
        }
        x
    }

    /// Token embeddings: `[batch, seq]` ids to `[batch, seq, hidden_size]`.
    pub(crate) fn embed_ids(&self, ids: Tensor<2, Int>, ctx: &ForwardContext) -> Tensor<3> {
        self.embed_tokens.forward(ids, ctx)
    }

    /// One block, without a cache.
    pub(crate) fn block_forward(&self, i: usize, x: Tensor<3>, ctx: &ForwardContext) -> Tensor<3> {
        self.layers[i].forward(x, &self.rope, ctx, None)
    }

    /// Brings block `i` into memory where blocks stream.
    pub(crate) fn enter_block(&self, i: usize) -> Result<(), ModelError> {
        self.stream.as_ref().map_or(Ok(()), |stream| stream.enter(i))
    }

    /// As [`Llama::enter_block`], for calls that return no error.
    fn expect_block(&self, i: usize) {
        if let Err(error) = self.enter_block(i) {
            panic!("block {i}: {error}");
        }
    }

    /// The model with its blocks coming from `stream`.
    fn streaming(mut self, stream: Arc<BlockStream>) -> Self {
        self.stream = Some(stream);
        self
    }

    /// One block over packed sequences.
    pub(crate) fn block_forward_varlen(
        &self,
        i: usize,
        x: Tensor<3>,
        cu_seqlens: &CuSeqlens,
        ctx: &ForwardContext,
    ) -> Tensor<3> {
        self.layers[i].forward_varlen(x, cu_seqlens, &self.rope, ctx)
    }

    /// Final norm and head: `[.., hidden_size]` to `[.., vocab_size]`.
    fn logits(&self, x: Tensor<3>, ctx: &ForwardContext) -> Tensor<3> {
        self.head(self.norm.forward(x, ctx), ctx)
    }

    /// The head, tied or not.
    fn head(&self, x: Tensor<3>, ctx: &ForwardContext) -> Tensor<3> {
        match &self.lm_head {
            Some(head) => head.forward(x, ctx),
            None => self.embed_tokens.project(x, ctx, self.compute_type),
        }
    }

    /// The head's weight `[vocab_size, hidden_size]`, tied or not, its adapter included.
    pub(crate) fn head_weight(&self, ctx: &ForwardContext) -> Tensor<2> {
        match &self.lm_head {
            Some(head) => head.weight(ctx),
            None => self.embed_tokens.weight(ctx),
        }
    }

    /// Bytes of every parameter as it is held: packed weights, their constants,
    /// dense weights and adapters.
    pub fn weights_nbytes(&self) -> usize {
        let mut bytes = Bytes(0);
        self.visit(&mut bytes);
        bytes.0
    }
}

/// Sums the sizes of the parameters visited.
struct Bytes(usize);

impl ModuleVisitor for Bytes {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        self.0 += value.shape().num_elements() * value.dtype().size();
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        let value = param.val();
        self.0 += value.shape().num_elements() * value.dtype().size();
    }
}
