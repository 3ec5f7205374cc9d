//! The nano base: a small LLaMA pre-trained here on the prose of the nano world, once, so that a
//! recipe needs nothing from elsewhere.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use camelid_data::DataError;
use camelid_data::nano::NanoWorld;
use camelid_data::packing::pack;
use camelid_data::tokens::{Example, TokenReport, TokenizedSet};
use camelid_files::{FileError, digest};
use camelid_model::{Llama, LlamaConfig, RopeScaling};
use camelid_train::{Interrupt, LrSchedule, Observer, TrainSettings, Trainer};
use tokenizers::Tokenizer;

use crate::{Experiment, RecipeError};

/// The base that an experiment names to have it made.
pub const BASE: &str = "nano";
/// Tokens of a pre-training row.
const ROW: usize = 128;
/// Rows of a pre-training step.
const ROWS: usize = 8;
/// Rows of prose held out from pre-training.
const HELD_OUT_ROWS: usize = 100;
/// Tokens of prose that a base is pre-trained on, where the experiment does not say.
const TOKENS: usize = 1_000_000;
/// Width of a base, where the experiment does not say.
const WIDTH: usize = 192;
/// About as many tokens as the world's tokenizer has, for plans made before it is built.
pub const VOCABULARY: usize = 482;
/// Raised whenever a base is made in another way.
const MAKING: &str = "1";

/// The nano world of an experiment, and the base that is made of its prose.
#[derive(Debug)]
pub struct Nano {
    /// The world: its questions, its dialogues.
    pub world: NanoWorld,
    /// The tokenizer of its words.
    pub tokenizer: Tokenizer,
    tokens: usize,
    width: usize,
    folder: PathBuf,
}

impl Nano {
    /// The world of `experiment`; its base is kept in `cache`.
    ///
    /// # Errors
    /// Dials of the world out of range.
    pub fn of(experiment: &Experiment, cache: &Path) -> Result<Self, RecipeError> {
        let dials = experiment.data.nano.clone().unwrap_or_default();
        let world = NanoWorld::new(&dials).map_err(DataError::from)?;
        let tokenizer = world.tokenizer().map_err(DataError::from)?;
        let tokens = experiment.model.pretraining_tokens.unwrap_or(TOKENS);
        let width = experiment.model.hidden_size.unwrap_or(WIDTH);
        let shape = config_of(width, VOCABULARY);
        let settings = pretraining(tokens / ROW / ROWS);
        let made_from = format!("{dials:?} {shape:?} {settings:?} {ROW} {} {MAKING}", init_std(&shape));
        let folder = cache.join(format!("nano-base-{}", &digest::of_bytes(made_from)[..12]));
        Ok(Self { world, tokenizer, tokens, width, folder })
    }

    /// Where the base lies, or will.
    pub fn base(&self) -> &Path {
        &self.folder
    }

    /// The base's shape.
    pub fn shape(&self) -> LlamaConfig {
        config_of(self.width, self.tokenizer.get_vocab_size(true))
    }

    /// Whether the base has been made.
    pub fn is_made(&self) -> bool {
        self.folder.join("model.safetensors").exists()
    }

    /// Pre-trains the base on prose and keeps it as a Hugging Face model folder. `false` when it was
    /// interrupted; the checkpoint is kept, and the next call goes on from it.
    ///
    /// # Errors
    /// The trainer's, and a disk that is full.
    pub fn make_base(
        &self,
        device: &Device,
        observer: Box<dyn Observer>,
        interrupt: Interrupt,
    ) -> Result<bool, RecipeError> {
        let (rows, _) = prose_rows(&self.world, &self.tokenizer, self.tokens)?;
        let settings = pretraining(rows.examples.len() / ROWS);
        let shape = self.shape();
        let model = Llama::random_with_std(&shape, init_std(&shape), 0, &device.clone().autodiff());
        let run = self.folder.with_extension("pretraining");
        let outcome =
            Trainer::new(model, settings, rows, None, &run, observer)?.with_interrupt(interrupt).run()?;
        if !outcome.finished {
            return Ok(false);
        }
        // The weights come last, whole: with them the base exists.
        std::fs::create_dir_all(&self.folder).map_err(FileError::io(&self.folder, "create"))?;
        self.tokenizer
            .save(self.folder.join("tokenizer.json"), true)
            .map_err(|error| DataError::Tokenizer(error.to_string()))?;
        outcome.model.valid().save_safetensors(&self.folder)?;
        std::fs::remove_dir_all(&run).map_err(FileError::io(&run, "remove"))?;
        Ok(true)
    }

    /// Prose that pre-training has not seen, in rows.
    ///
    /// # Errors
    /// None but a fault of the tokenizer.
    pub fn held_out_prose(&self) -> Result<TokenizedSet, RecipeError> {
        Ok(prose_rows(&self.world, &self.tokenizer, self.tokens)?.1)
    }

    /// The base, in a line for a report.
    pub fn about(&self) -> String {
        format!(
            "Base: {} parameters, pre-trained here on {} tokens of the nano world's prose",
            self.shape().parameter_count(),
            self.tokens
        )
    }
}

/// How the base is pre-trained.
fn pretraining(max_steps: usize) -> TrainSettings {
    TrainSettings {
        seed: 0,
        learning_rate: 1.5e-3,
        lr_schedule: LrSchedule::Cosine,
        warmup_ratio: 0.05,
        max_steps,
        micro_batch_size: ROWS,
        grad_accum: 1,
        max_grad_norm: 1.0,
        weight_decay: 0.01,
        adam_beta2: 0.95,
        activation_checkpointing: false,
        group_by_length: false,
        save_every: 200,
        keep_last: 1,
        ..TrainSettings::default()
    }
}

/// A narrow model learns sooner from a wider start than transformers' 0.02.
fn init_std(shape: &LlamaConfig) -> f64 {
    (shape.hidden_size as f64).sqrt().recip()
}

/// A small LLaMA: grouped queries, tied embeddings, four blocks.
pub fn config(vocab_size: usize) -> LlamaConfig {
    config_of(WIDTH, vocab_size)
}

/// The same of another width, a multiple of 8.
fn config_of(hidden_size: usize, vocab_size: usize) -> LlamaConfig {
    LlamaConfig {
        vocab_size,
        hidden_size,
        intermediate_size: (hidden_size * 8 / 3).next_multiple_of(32),
        num_hidden_layers: 4,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: hidden_size / 4,
        max_position_embeddings: 512,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: true,
        attention_bias: false,
        mlp_bias: false,
        bos_token_id: Some(0),
        eos_token_ids: vec![1],
        pad_token_id: Some(2),
        stored_4bit: false,
    }
}

/// The prose as rows of [`ROW`] tokens, every paragraph between its marks: `tokens` of it to
/// learn, and [`HELD_OUT_ROWS`] more that follow.
fn prose_rows(
    world: &NanoWorld,
    tokenizer: &Tokenizer,
    tokens: usize,
) -> Result<(TokenizedSet, TokenizedSet), RecipeError> {
    let mut paragraphs = Vec::new();
    for (i, text) in world.pretraining_text(tokens + (HELD_OUT_ROWS + 2) * ROW).enumerate() {
        let encoded =
            tokenizer.encode(text, false).map_err(|error| DataError::Tokenizer(error.to_string()))?;
        let mut ids = vec![0];
        ids.extend_from_slice(encoded.get_ids());
        ids.push(1);
        let labels = ids.iter().map(|id| i64::from(*id)).collect();
        paragraphs.push(Example { id: format!("prose-{i}"), ids, labels });
    }
    let mut rows: Vec<Example> =
        pack(&paragraphs, ROW, false)?.into_iter().map(|block| block.example).collect();
    let mut held_out = rows.split_off(rows.len().saturating_sub(HELD_OUT_ROWS));
    rows.truncate(tokens / ROW);
    held_out.truncate(HELD_OUT_ROWS);
    let set = |examples| TokenizedSet { examples, report: TokenReport::default() };
    Ok((set(rows), set(held_out)))
}
