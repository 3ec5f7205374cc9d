//! Many sequences through one model at once.
//!
//! Each step is one forward pass over the next token of every sequence that generates and a piece of
//! the prompts that wait, their rows end to end (continuous batching, Yu et al. 2022). Keys and values
//! lie in blocks of a pool with a budget in bytes (PagedAttention, Kwon et al. 2023); sequences that
//! begin alike share blocks, and those of a sequence that ended are used again until others need them.
//! When blocks run out the youngest sequence gives its own up and is computed again later.
//!
//! A sequence's text and logits are the same bits alone and in any company, however its prompt was cut,
//! and whether or not its start was there already: no sum depends on what else is in a pass
//! ([`ComputeType::BatchInvariant`]).

mod blocks;
mod checks;
mod constraint;
mod request;
mod sequence;
mod thread;

use std::collections::VecDeque;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_chat::StopReason;
use camelid_kernels::ComputeType;
use camelid_kernels::paged_attention::{POSITIONS_STEP, PagedRows, PagedSequence};
use camelid_lora::ForwardContext;
use rayon::prelude::*;
use tokenizers::Tokenizer;

use crate::error::ModelError;
use crate::llama::{Llama, PagedCache, RowGroup, forward_paged, logits_paged};
use blocks::{BlockPool, Chain};
use checks::{Checked, Checks};
use sequence::{Computed, Sequence};

pub use constraint::Constraint;
pub use request::{EngineEvent, EngineLoad, EngineRequest, Finished, SequenceId, TokenLogprobs};
pub use thread::EngineThread;

/// What an engine may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Most bytes of keys and values. Default 1 GiB.
    pub cache_bytes: usize,
    /// Positions of a block, a multiple of 16. Whole blocks are shared. Default 16.
    pub block_positions: usize,
    /// Most tokens of prompts that a step reads beside the sequences that generate. Default 256.
    pub prefill_tokens: usize,
    /// Most sequences that generate at once; the others wait. Default 64.
    pub max_running: usize,
    /// Most tokens of a prompt and its answer together. Default: the model's context length.
    pub context: Option<usize>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 1 << 30,
            block_positions: 16,
            prefill_tokens: 256,
            max_running: 64,
            context: None,
        }
    }
}

/// Bytes of keys and values for callers who set no budget; more where a single context needs it. The
/// system gives memory when a block is first used.
const CACHE_BYTES: usize = 256 << 20;

impl EngineOptions {
    /// Without a limit on the length of a text but the cache, which has room for one context at least.
    pub(crate) fn for_any_length(model: &Llama) -> Self {
        let position = PagedCache::block_bytes(model.config(), 1);
        Self {
            cache_bytes: CACHE_BYTES.max(position.saturating_mul(model.config().context_length())),
            prefill_tokens: 512,
            max_running: 16,
            context: Some(usize::MAX),
            ..Self::default()
        }
    }

    /// Checks every number against its range.
    fn check(&self) -> Result<(), ModelError> {
        let wrong = |setting: &str, found: usize, supported: String| {
            let (origin, setting) = ("engine options".into(), setting.into());
            Err(ModelError::Unsupported { origin, setting, found: found.to_string(), supported })
        };
        if self.block_positions == 0 || !self.block_positions.is_multiple_of(POSITIONS_STEP) {
            let supported = format!("multiples of {POSITIONS_STEP}");
            return wrong("block_positions", self.block_positions, supported);
        }
        for (setting, found) in [("prefill_tokens", self.prefill_tokens), ("max_running", self.max_running)] {
            if found == 0 {
                return wrong(setting, found, "numbers from 1".into());
            }
        }
        Ok(())
    }
}

/// A model that continues many sequences at once. See [`EngineThread`] for one that runs by itself.
pub struct Engine {
    /// The base, then the base with each adapter on it, with the start of its chains of blocks.
    models: Vec<(Llama, Chain)>,
    checks: Arc<Checks>,
    options: EngineOptions,
    pool: BlockPool,
    cache: PagedCache,
    /// Those that have blocks, oldest first.
    running: Vec<Sequence>,
    waiting: VecDeque<Sequence>,
    /// Events of sequences that ended between two steps.
    events: Vec<(SequenceId, EngineEvent)>,
    load: EngineLoad,
    next_id: u64,
}

impl Engine {
    /// An engine for a model on the CPU. The model is taken as an inference copy, which shares its
    /// weights; adapters that it carries are part of the base.
    ///
    /// # Errors
    /// When an option is out of range, the cache is too small for a single block, or the model is not on the
    /// CPU: elsewhere products choose their form by the number of rows, and a text's bits would depend on its
    /// company.
    pub fn new(model: &Llama, tokenizer: Tokenizer, options: EngineOptions) -> Result<Self, ModelError> {
        options.check()?;
        let model = inference_copy(model);
        let device = model.embed_tokens.weight.val().device();
        if device != Device::flex() {
            return Err(ModelError::Unsupported {
                origin: "engine".into(),
                setting: "device".into(),
                found: camelid_kernels::device_label(&device),
                supported: "flex".into(),
            });
        }
        let config = model.config();
        let block_bytes = PagedCache::block_bytes(config, options.block_positions);
        let context = options.context.unwrap_or_else(|| config.context_length());
        // No more than all sequences could ever fill.
        let most = context.div_ceil(options.block_positions).saturating_mul(options.max_running).max(1);
        let blocks = (options.cache_bytes / block_bytes).min(most);
        if blocks == 0 {
            return Err(ModelError::Unsupported {
                origin: "engine options".into(),
                setting: "cache_bytes".into(),
                found: options.cache_bytes.to_string(),
                supported: format!("at least one block of {block_bytes} bytes"),
            });
        }
        let cache = PagedCache::new(config, blocks, options.block_positions, &device);
        let mut pool = BlockPool::new(blocks, options.block_positions);
        let checks = Checks::new(config, tokenizer, context, blocks * options.block_positions);
        let root = pool.new_chain();
        Ok(Self {
            models: vec![(model, root)],
            checks: Arc::new(checks),
            options,
            pool,
            cache,
            running: Vec::new(),
            waiting: VecDeque::new(),
            events: Vec::new(),
            load: EngineLoad { blocks_total: blocks, ..EngineLoad::default() },
            next_id: 0,
        })
    }

    /// Adds an adapter beside the base, or another in the place of one of this name; sequences that
    /// run through the old one end with it.
    ///
    /// `put_on` puts it on the base, for example by [`load_peft`](camelid_lora::load_peft); it may
    /// change nothing else.
    ///
    /// # Errors
    /// Those of `put_on`.
    pub fn add_adapter<E>(
        &mut self,
        name: &str,
        put_on: impl FnOnce(Llama) -> Result<Llama, E>,
    ) -> Result<(), E> {
        let adapted = put_on(self.models[0].0.clone())?;
        self.models.push((inference_copy(&adapted), self.pool.new_chain()));
        self.checks.name_adapter(name, self.models.len() - 1);
        Ok(())
    }

    /// The base model.
    pub fn model(&self) -> &Llama {
        &self.models[0].0
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.checks.tokenizer()
    }

    /// Takes a sequence. It waits until a step has room for it.
    ///
    /// # Errors
    /// When the prompt is empty, an id is outside the vocabulary, an option is out of range, there is
    /// no such adapter, the constraint cannot be read, or prompt and answer together exceed the context
    /// or the whole cache.
    pub fn submit(&mut self, request: EngineRequest) -> Result<SequenceId, ModelError> {
        let checked = self.checks.check(request)?;
        let id = SequenceId(self.next_id);
        self.take_in(id, checked);
        Ok(id)
    }

    fn take_in(&mut self, id: SequenceId, checked: Checked) {
        self.next_id = self.next_id.max(id.0 + 1);
        let Checked { request, model, constrained } = checked;
        let tokenizer = Arc::clone(self.checks.tokenizer());
        let sequence = Sequence::new(id, model, self.models[model].1, request, constrained, tokenizer);
        self.waiting.push_back(sequence);
    }

    /// Ends a sequence before the next step, which says so; one that ended already stays as it is.
    pub fn cancel(&mut self, id: SequenceId) {
        let waiting = self.waiting.iter().position(|sequence| sequence.id == id);
        let running = self.running.iter().position(|sequence| sequence.id == id);
        let sequence = match (waiting, running) {
            (Some(at), _) => self.waiting.remove(at),
            (None, Some(at)) => Some(self.running.remove(at)),
            (None, None) => None,
        };
        let Some(sequence) = sequence else { return };
        self.pool.release(&sequence.blocks);
        self.load.finished += 1;
        self.events.push((id, EngineEvent::Done(sequence.finished(StopReason::Cancelled))));
    }

    /// Whether there is nothing to do and nothing to tell.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty() && self.events.is_empty()
    }

    /// What it is doing, and has done.
    pub fn load(&self) -> EngineLoad {
        EngineLoad {
            running: self.running.len(),
            waiting: self.waiting.len(),
            blocks_used: self.pool.total() - self.pool.available(),
            ..self.load
        }
    }

    /// One forward pass: the next token of every sequence that generates, and a piece of the prompts
    /// that wait.
    ///
    /// # Panics
    /// When streamed weights can no longer be read.
    pub fn step(&mut self) -> Vec<(SequenceId, EngineEvent)> {
        let mut events = std::mem::take(&mut self.events);
        let parts = self.schedule();
        if !parts.is_empty() {
            // As in `Llama::forward_cached`: one operation after the other starts inside the pool.
            let advanced = rayon::scope(|_| self.pass(parts));
            self.give_out(advanced, &mut events);
        }
        events
    }

    /// Computes the rows of `parts`, and what every running sequence makes of them.
    fn pass(&mut self, mut parts: Vec<Part>) -> Vec<Vec<EngineEvent>> {
        // Those that go through one model lie together.
        parts.sort_by_key(|part| self.running[part.sequence].model);
        let hidden = self.forward(&parts);
        let wanted = self.wanted(&parts);
        let logits = self.logits(&parts, &wanted, hidden);
        let logits: &[f32] = match &logits {
            Some(logits) => logits.as_slice().expect("logits are f32"),
            None => &[],
        };

        let vocab_size = self.checks.vocab_size();
        let mut rows = logits.chunks_exact(vocab_size);
        let mut computed: Vec<Option<Computed<'_>>> = self.running.iter().map(|_| None).collect();
        for (part, wanted) in parts.iter().zip(&wanted) {
            let prompt = rows.by_ref().take(wanted.prompt.len()).collect();
            let next = if wanted.next { rows.next() } else { None };
            computed[part.sequence] = Some(Computed { prompt, next });
        }
        for part in &parts {
            self.note_computed(part);
        }
        let before = self.tokens();
        let advanced: Vec<Vec<EngineEvent>> = self
            .running
            .par_iter_mut()
            .zip(computed)
            .map(|(sequence, computed)| {
                computed.map_or_else(Vec::new, |computed| sequence.advance(&computed))
            })
            .collect();
        self.load.steps += 1;
        self.load.new_tokens += self.tokens() - before;
        advanced
    }

    /// Tokens of all running sequences.
    fn tokens(&self) -> u64 {
        self.running.iter().map(|sequence| sequence.ids.len() as u64).sum()
    }

    /// Adds what each sequence says to `events`, and lets go of those that ended.
    fn give_out(&mut self, advanced: Vec<Vec<EngineEvent>>, events: &mut Vec<(SequenceId, EngineEvent)>) {
        let mut staying = Vec::with_capacity(self.running.len());
        for (sequence, said) in std::mem::take(&mut self.running).into_iter().zip(advanced) {
            let ended = matches!(said.last(), Some(EngineEvent::Done(_) | EngineEvent::Failed(_)));
            events.extend(said.into_iter().map(|event| (sequence.id, event)));
            if ended {
                self.pool.release(&sequence.blocks);
                self.load.finished += 1;
            } else {
                staying.push(sequence);
            }
        }
        self.running = staying;
    }

    /// Which rows the next pass computes. Every sequence of it has the blocks it needs.
    fn schedule(&mut self) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut left = self.options.prefill_tokens;
        let before = self.load.preempted;
        let mut at = 0;
        while at < self.running.len() {
            let pending = self.running[at].ids.len() - self.running[at].computed;
            let rows = if pending == 1 { 1 } else { pending.min(left) };
            if rows > 0 {
                if !self.make_room(at, rows) {
                    break;
                }
                if pending > 1 {
                    left -= rows;
                }
                parts.push(Part { sequence: at, rows });
            }
            at += 1;
        }
        // Blocks that were just taken from one are not given to the next.
        while self.load.preempted == before && left > 0 && self.running.len() < self.options.max_running {
            let Some(mut sequence) = self.waiting.pop_front() else { break };
            if !self.admit(&mut sequence) {
                self.waiting.push_front(sequence);
                break;
            }
            let rows = (sequence.ids.len() - sequence.computed).min(left);
            left -= rows;
            self.running.push(sequence);
            let at = self.running.len() - 1;
            // Admitted only where there are blocks for all of it.
            if self.make_room(at, rows) {
                parts.push(Part { sequence: at, rows });
            }
        }
        parts
    }

    /// Gives a waiting sequence the blocks that are there for its start, if there are enough for the
    /// rest of it and one token more.
    fn admit(&mut self, sequence: &mut Sequence) -> bool {
        let root = self.models[sequence.model].1;
        let (blocks, chain) = self.pool.find(root, &sequence.ids, sequence.reusable());
        let needed = (sequence.ids.len() + 1).div_ceil(self.pool.positions()).min(self.pool.total());
        if needed - blocks.len() > self.pool.available() {
            self.pool.release(&blocks);
            return false;
        }
        sequence.computed = blocks.len() * self.pool.positions();
        sequence.chained = blocks.len();
        sequence.chain = chain;
        sequence.blocks = blocks;
        if sequence.cached_tokens.is_none() {
            sequence.cached_tokens = Some(sequence.computed);
            self.load.cached_tokens += sequence.computed as u64;
        }
        true
    }

    /// Blocks for the next `rows` of a running sequence, taken from the youngest where none is left;
    /// whether it was not the youngest itself.
    fn make_room(&mut self, at: usize, rows: usize) -> bool {
        loop {
            let sequence = &mut self.running[at];
            let needed = (sequence.computed + rows).div_ceil(self.pool.positions());
            while sequence.blocks.len() < needed {
                let Some(block) = self.pool.take() else { break };
                sequence.blocks.push(block);
            }
            if sequence.blocks.len() >= needed {
                return true;
            }
            let last = self.running.len() - 1;
            self.preempt_last();
            if last == at {
                return false;
            }
        }
    }

    /// Takes the blocks of the youngest running sequence, which waits to be computed again: the same
    /// bits, since those do not depend on how a text is cut.
    fn preempt_last(&mut self) {
        let Some(mut sequence) = self.running.pop() else { return };
        self.pool.release(&std::mem::take(&mut sequence.blocks));
        sequence.computed = 0;
        sequence.chained = 0;
        self.load.preempted += 1;
        self.waiting.push_front(sequence);
    }

    fn forward(&mut self, parts: &[Part]) -> Tensor<3> {
        let mut ids = Vec::new();
        let mut sequences = Vec::with_capacity(parts.len());
        for part in parts {
            let sequence = &self.running[part.sequence];
            ids.extend_from_slice(&sequence.ids[sequence.computed..sequence.computed + part.rows]);
            sequences.push(PagedSequence {
                rows: part.rows,
                start: sequence.computed,
                blocks: sequence.blocks.clone(),
            });
        }
        let groups = groups(&self.models, parts.iter().map(|p| (self.running[p.sequence].model, p.rows)));
        forward_paged(&groups, &ids, &PagedRows::new(sequences), &mut self.cache)
    }

    /// The rows whose logits are asked for, part by part.
    fn wanted(&self, parts: &[Part]) -> Vec<Wanted> {
        let mut first = 0;
        let of = |part: &Part| {
            let sequence = &self.running[part.sequence];
            let prompt = sequence.prompt_rows(part.rows);
            let row = |position: usize| first + position - sequence.computed;
            let prompt = prompt.map(row).collect();
            first += part.rows;
            Wanted { prompt, next: sequence.computed + part.rows == sequence.ids.len(), last: first - 1 }
        };
        parts.iter().map(of).collect()
    }

    /// The logits of the wanted rows, one after the other; `None` where none are wanted.
    fn logits(&self, parts: &[Part], wanted: &[Wanted], hidden: Tensor<3>) -> Option<TensorData> {
        let rows: Vec<i64> = wanted.iter().flat_map(Wanted::rows).map(|row| row as i64).collect();
        if rows.is_empty() {
            return None;
        }
        let count = rows.len();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), &hidden.device());
        let hidden = if count == hidden.dims()[1] { hidden } else { hidden.select(1, indices) };
        let models = parts.iter().map(|part| self.running[part.sequence].model);
        let counts = wanted.iter().map(|wanted| wanted.rows().count());
        let groups = groups(&self.models, models.zip(counts));
        Some(logits_paged(&groups, hidden).into_data())
    }

    /// Counts what a pass computed of a sequence, and makes its full blocks known.
    fn note_computed(&mut self, part: &Part) {
        let positions = self.pool.positions();
        let sequence = &mut self.running[part.sequence];
        let read = sequence.prompt_len().min(sequence.computed);
        sequence.computed += part.rows;
        self.load.prompt_tokens += (sequence.prompt_len().min(sequence.computed) - read) as u64;
        while (sequence.chained + 1) * positions <= sequence.computed {
            let ids = &sequence.ids[sequence.chained * positions..][..positions];
            sequence.chain = self.pool.fill(sequence.blocks[sequence.chained], sequence.chain, ids);
            sequence.chained += 1;
        }
    }

    /// The mean over a text's tokens of what comes out of the last block and norm, of length 1.
    ///
    /// # Errors
    /// When there are no tokens, one is outside the vocabulary, or there are more than the context has
    /// room for.
    ///
    /// # Panics
    /// When streamed weights can no longer be read.
    pub fn embed(&self, ids: &[u32]) -> Result<Vec<f32>, ModelError> {
        self.checks.check_text(ids)?;
        let model = self.model();
        let row: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        let device = model.embed_tokens.weight.val().device();
        let row = Tensor::<2, Int>::from_data(TensorData::new(row, [1, ids.len()]), &device);
        let hidden = model.hidden(row, &ForwardContext::evaluation());
        let mean: Vec<f32> = hidden.mean_dim(1).into_data().try_into_vec().expect("hidden states are f32");
        let length = mean.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        if !length.is_finite() {
            return Err(ModelError::NotANumber { position: ids.len() });
        }
        Ok(mean.iter().map(|v| (f64::from(*v) / length.max(f64::MIN_POSITIVE)) as f32).collect())
    }
}

/// The rows of a pass that belong to one running sequence.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Its index among the running ones.
    sequence: usize,
    rows: usize,
}

/// The rows of a part whose logits are asked for.
struct Wanted {
    /// For the probabilities of the prompt.
    prompt: Vec<usize>,
    /// Whether the last row's are those of the next token.
    next: bool,
    last: usize,
}

impl Wanted {
    fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.prompt.iter().copied().chain(self.next.then_some(self.last))
    }
}

/// Neighbouring rows of one model as a group; models without rows are left out.
fn groups(models: &[(Llama, Chain)], rows: impl Iterator<Item = (usize, usize)>) -> Vec<RowGroup<'_>> {
    let mut groups: Vec<(usize, usize)> = Vec::new();
    for (model, rows) in rows.filter(|(_, rows)| *rows > 0) {
        match groups.last_mut() {
            Some((last, count)) if *last == model => *count += rows,
            _ => groups.push((model, rows)),
        }
    }
    groups.into_iter().map(|(model, rows)| RowGroup { model: &models[model].0, rows }).collect()
}

/// The model without gradients, whose sums do not depend on how many rows there are.
fn inference_copy(model: &Llama) -> Llama {
    model.valid().with_compute_type(ComputeType::BatchInvariant)
}
