//! The nano scale: a small LLaMA pre-trained here on the nano world's prose,
//! once, and tuned on its conversations.

use std::path::{Path, PathBuf};

use anyhow::Context;
use burn::module::Module;
use camelid_chat::{Conversation, Template};
use camelid_data::nano::{NanoConfig, NanoWorld, score};
use camelid_data::oasst::{Filter, Selection, dialogues};
use camelid_data::packing::pack;
use camelid_data::tokens::{Example, TokenReport, TokenizeOptions, TokenizedSet, Truncation};
use camelid_data::{TestSplit, split};
use camelid_eval::exact_match::Question;
use camelid_kernels::device_from_environment;
use camelid_model::{Llama, LlamaConfig, RopeScaling};
use camelid_train::{Experiment, Interrupt, LrSchedule, Progress, TrainSettings, Trainer};
use sha2::{Digest, Sha256};

use super::Scale;
use super::study::{self, Supplies};

/// Tokens of a pre-training row.
const ROW: usize = 128;
/// Rows of a pre-training step.
const ROWS: usize = 8;
/// Rows of prose held out from pre-training.
const HELD_OUT_ROWS: usize = 100;
/// About as many tokens as the world's tokenizer has, for plans made before it is built.
pub const VOCABULARY: usize = 482;

/// How much of the world a scale uses.
struct Size {
    /// Tokens of prose to pre-train on, each seen once.
    pretraining_tokens: usize,
    /// The world's dials.
    world: NanoConfig,
}

impl Size {
    fn of(scale: Scale) -> Self {
        match scale {
            Scale::Check => Self {
                pretraining_tokens: 20_000,
                world: NanoConfig { tuning_trees: 60, eval_items: 10, ..NanoConfig::default() },
            },
            _ => Self {
                pretraining_tokens: 1_000_000,
                world: NanoConfig { eval_items: 300, ..NanoConfig::default() },
            },
        }
    }
}

/// Conversations, questions and the base that [`pretrain`] made.
pub fn supplies(experiment: &Experiment, scale: Scale, runs: &Path) -> anyhow::Result<Supplies> {
    let size = Size::of(scale);
    let world = NanoWorld::new(&size.world)?;
    let tokenizer = world.tokenizer()?;
    let template = Template::builtin(&experiment.data.template)?;

    let chosen = dialogues(&world.trees(), &Filter::default(), Selection::BestRanked)?;
    let TestSplit { train, test: held_out, .. } = split(chosen.conversations, experiment.data.held_out)?;
    let options = TokenizeOptions {
        loss_on: experiment.data.loss_on.into(),
        truncation: Truncation { total: Some(experiment.data.max_length), ..Truncation::default() },
    };
    let set =
        |conversations: &[Conversation]| TokenizedSet::build(conversations, &tokenizer, &template, &options);
    let (train, held_out) = (set(&train)?, set(&held_out)?);
    let (_, text) = prose_rows(&world, &tokenizer, size.pretraining_tokens)?;
    let questions: Vec<Question> = world
        .eval_items()
        .into_iter()
        .map(|item| Question {
            id: item.id,
            family: item.family.as_str().to_owned(),
            messages: item.conversation.messages,
            expected: item.expected,
        })
        .collect();
    let base = base_folder(scale, runs);
    let inputs = vec![
        format!(
            "Base: {} parameters, pre-trained here on {} tokens of the nano world's prose",
            config(tokenizer.get_vocab_size(true)).parameter_count(),
            size.pretraining_tokens
        ),
        format!(
            "{} conversations to tune on ({} tokens), {} held out with other first prompts; {} held-out questions, none of which tuning asks",
            train.examples.len(),
            train.report.tokens,
            held_out.examples.len(),
            questions.len()
        ),
    ];
    let samples = Vec::new();
    Ok(Supplies {
        base,
        tokenizer,
        template,
        train,
        held_out,
        text: Some(text),
        questions,
        samples,
        is_right: score,
        requantised: false,
        inputs,
    })
}

/// Whether the base has been made.
pub fn base_exists(scale: Scale, runs: &Path) -> bool {
    base_folder(scale, runs).join("model.safetensors").exists()
}

/// Pre-trains the base on prose and keeps it as a Hugging Face model directory.
/// `false` when it was interrupted; the checkpoint is kept.
pub fn pretrain(scale: Scale, runs: &Path) -> anyhow::Result<bool> {
    let size = Size::of(scale);
    let world = NanoWorld::new(&size.world)?;
    let tokenizer = world.tokenizer()?;
    let (rows, _) = prose_rows(&world, &tokenizer, size.pretraining_tokens)?;
    let settings = pretraining(rows.examples.len() / ROWS);
    let device = device_from_environment()?.autodiff();
    let shape = config(tokenizer.get_vocab_size(true));
    let model = Llama::random_with_std(&shape, init_std(&shape), 0, &device);
    let folder = base_folder(scale, runs);
    let run = folder.with_extension("pretraining");
    let outcome = Trainer::new(model, settings, rows, None, &run, Box::new(Progress::new("nano base")))?
        .with_interrupt(Interrupt::from_ctrl_c()?)
        .run()?;
    if !outcome.finished {
        return Ok(false);
    }
    // The weights come last, whole: with them the base exists.
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    tokenizer
        .save(folder.join("tokenizer.json"), true)
        .map_err(|error| anyhow::anyhow!("cannot save the tokenizer: {error}"))?;
    outcome.model.valid().save_safetensors(&folder)?;
    std::fs::remove_dir_all(&run).with_context(|| format!("cannot remove {}", run.display()))?;
    Ok(true)
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
    LlamaConfig {
        vocab_size,
        hidden_size: 192,
        intermediate_size: 512,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 48,
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
    tokenizer: &tokenizers::Tokenizer,
    tokens: usize,
) -> anyhow::Result<(TokenizedSet, TokenizedSet)> {
    let mut paragraphs = Vec::new();
    for (i, text) in world.pretraining_text(tokens + (HELD_OUT_ROWS + 2) * ROW).enumerate() {
        let encoded = tokenizer
            .encode(text, false)
            .map_err(|error| anyhow::anyhow!("cannot tokenise the prose: {error}"))?;
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

/// Named after what makes the base, so that another world or shape is another base.
fn base_folder(scale: Scale, runs: &Path) -> PathBuf {
    let Size { pretraining_tokens, world } = Size::of(scale);
    let shape = config(VOCABULARY);
    let settings = pretraining(pretraining_tokens / ROW / ROWS);
    let made_from = format!("{world:?} {shape:?} {} {settings:?} {ROW} {}", init_std(&shape), study::RECIPE);
    let digest = study::hex(&Sha256::digest(made_from));
    runs.join(format!("nano-base-{}", &digest[..12]))
}
