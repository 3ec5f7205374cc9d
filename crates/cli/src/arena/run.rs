//! An arena that is open until it is told to end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use camelid_chat::GenerateOptions;
use camelid_chat::openai::{ModerationClient, OpenAiClient, OpenAiConfig};
use camelid_eval::judge::{ModelPlace, ModelSpec};
use camelid_files::program::UsageError;
use camelid_model::LocalGenerator;
use camelid_ratings::PairRule;
use camelid_serve::arena::{
    Arena, ArenaOptions, BoardOptions, Moderation, Player, Store, TrustedProxy, demo, read_cards, replay,
};
use clap::ValueEnum;

use super::cleaning::CleaningArgs;
use super::demo::past_models;
use crate::device::DeviceArg;
use crate::model_files::located;
use crate::serve::stopped;

#[derive(clap::Args)]
pub struct Args {
    /// Play the nano models of past runs under runs/, or made-up ones: nothing is downloaded
    #[arg(long)]
    demo: bool,
    /// A model, NAME=PATH of its files or their name in the catalogue, or NAME=URL#MODEL at an
    /// OpenAI-compatible endpoint (URL up to and with /v1); give at least two
    #[arg(long, value_name = "MODEL")]
    model: Vec<ModelSpec>,
    /// Folder of stored answers, NAME.jsonl each in FastChat's model_answer format: models that replay
    #[arg(long, value_name = "DIR", requires = "questions")]
    replay: Option<PathBuf>,
    /// The questions of those answers, in the format of FastChat's question.jsonl
    #[arg(long, value_name = "FILE")]
    questions: Option<PathBuf>,
    /// Address to listen at; 0.0.0.0 is everywhere
    #[arg(long, default_value = "127.0.0.1")]
    host: std::net::IpAddr,
    /// Port to listen at; 0 takes a free one
    #[arg(long, default_value_t = 7860)]
    port: u16,
    /// Database of battles and votes; the key of its users lies beside it
    #[arg(long, default_value = "arena.db", value_name = "FILE")]
    db: PathBuf,
    /// JSON file that says of models by name their organization, licence, link and weight
    #[arg(long, value_name = "FILE")]
    cards: Option<PathBuf>,
    /// How pairs are drawn
    #[arg(long, value_enum, default_value = "active")]
    pairs: PairsArg,
    /// Divides the logits; 0 always takes the likeliest token
    #[arg(long, default_value_t = 0.7)]
    temperature: f32,
    /// Longest answer, in tokens
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    max_new_tokens: u32,
    /// Environment variable with the API key of the endpoints
    #[arg(long, value_name = "VARIABLE")]
    api_key_env: Option<String>,
    /// Words and phrases, one a line, that are neither sent nor shown
    #[arg(long, value_name = "FILE")]
    moderation_words: Option<PathBuf>,
    /// Moderation endpoint in OpenAI's format, asked before a prompt is sent and an answer shown
    #[arg(long, value_name = "URL")]
    moderation_url: Option<String>,
    /// Environment variable with that endpoint's API key
    #[arg(long, value_name = "VARIABLE", requires = "moderation_url")]
    moderation_key_env: Option<String>,
    /// A proxy whose X-Forwarded-For is believed, as 10.0.0.1 or 10.0.0.0/8; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    trusted_proxy: Vec<TrustedProxy>,
    /// Most prompts of one address a minute; 0 is no limit
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    prompts_per_minute: u32,
    /// Most votes of one address a minute; 0 is no limit
    #[arg(long, value_name = "COUNT", default_value_t = 30)]
    votes_per_minute: u32,
    #[command(flatten)]
    cleaning: CleaningArgs,
    /// Turns that are answered at once
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    at_once: u16,
    /// Milliseconds between two words of a made-up or replayed answer
    #[arg(long, value_name = "MS", default_value_t = 25)]
    pace: u64,
    #[command(flatten)]
    device: DeviceArg,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PairsArg {
    /// By the models' weights
    Weights,
    /// By what one more vote narrows (the arena paper's rule)
    Active,
}

pub fn run(args: &Args) -> Result<()> {
    let mut options = args.options()?;
    let (players, suggestions) = args.players()?;
    options.suggestions = suggestions;
    let store = Arc::new(Store::open(&args.db)?);
    let names: Vec<&str> = players.iter().map(|player| player.name.as_str()).collect();
    camelid_files::say!("models: {}", names.join(", "));
    let arena = Arena::new(store, players, options).map_err(|error| match error {
        camelid_serve::arena::ArenaError::Setting(_) => anyhow::Error::from(UsageError::of(error)),
        error => error.into(),
    })?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the server's threads")?;
    let served = runtime.block_on(serve(args, Arc::new(arena)));
    // An answer that is still being written is of no use to anybody.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

async fn serve(args: &Args, arena: Arc<Arena>) -> Result<()> {
    let address = SocketAddr::new(args.host, args.port);
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen at {address}; --port chooses another port"))?;
    let bound = listener.local_addr().context("cannot tell the port")?;
    camelid_files::say!("votes: {}", args.db.display());
    camelid_files::program::print(format!("arena at http://{bound}/\n"))?;
    camelid_serve::arena::serve(listener, arena, stopped()).await.context("cannot serve")
}

impl Args {
    fn options(&self) -> Result<ArenaOptions> {
        let generate = GenerateOptions {
            temperature: self.temperature,
            max_new_tokens: self.max_new_tokens as usize,
            ..GenerateOptions::default()
        };
        generate.check().map_err(UsageError::of)?;
        let cleaning = self.cleaning.cleaning()?;
        let mut moderation = Moderation::none();
        if let Some(path) = &self.moderation_words {
            moderation = moderation.with_words(path)?;
        }
        if let Some(url) = &self.moderation_url {
            let endpoint = ModerationClient::new(url, self.moderation_key_env.as_deref());
            moderation = moderation.with_endpoint(endpoint.map_err(UsageError::of)?);
        }
        Ok(ArenaOptions {
            board: BoardOptions { cleaning, ..BoardOptions::default() },
            rule: match self.pairs {
                PairsArg::Weights => PairRule::Weights,
                PairsArg::Active => PairRule::Active,
            },
            generate,
            moderation,
            trusted_proxies: self.trusted_proxy.clone(),
            prompts_per_minute: self.prompts_per_minute,
            votes_per_minute: self.votes_per_minute,
            most_at_once: usize::from(self.at_once),
            ..ArenaOptions::default()
        })
    }

    /// The models, and the prompts that the page offers for them.
    fn players(&self) -> Result<(Vec<Player>, Vec<Vec<String>>)> {
        let mut suggestions = Vec::new();
        let pace = Duration::from_millis(self.pace);
        let mut players = Vec::new();
        if !self.model.is_empty() || self.demo {
            let device = self.device.open()?;
            for spec in &self.model {
                players.push(self.player(&located(spec)?, &device)?);
            }
            if self.demo {
                let (past, questions) = past_models(Path::new("runs"), &device)?;
                if past.is_empty() {
                    players.extend(demo::players(pace));
                } else {
                    players.extend(past);
                    suggestions.extend(questions);
                }
            }
        }
        if let (Some(folder), Some(questions)) = (&self.replay, &self.questions) {
            let questions = replay::Questions::read(questions)?;
            players.extend(replay::players(folder, &questions, pace)?);
            suggestions.extend(questions.openings().map(<[String]>::to_vec));
        }
        if players.is_empty() {
            let words = "no models: give --demo, two or more --model NAME=PATH|URL#MODEL, or --replay DIR";
            return Err(UsageError(words.to_owned()).into());
        }
        let mut cards = self.cards.as_deref().map_or_else(|| Ok(BTreeMap::new()), read_cards)?;
        for player in &mut players {
            if let Some(card) = cards.remove(&player.name) {
                player.card = card;
            }
        }
        if let Some(name) = cards.keys().next() {
            camelid_files::say!("warning: --cards tells of `{name}`, which does not play");
        }
        Ok((players, suggestions))
    }

    fn player(&self, spec: &ModelSpec, device: &burn::tensor::Device) -> Result<Player> {
        Ok(match &spec.place {
            ModelPlace::Files(path) => {
                let generator = LocalGenerator::open(path, None, device)?;
                crate::model_files::tell(generator.notes());
                Player::new(&spec.name, Arc::new(generator))
            }
            ModelPlace::Endpoint { base_url, model } => {
                let config = OpenAiConfig {
                    api_key_env: self.api_key_env.clone(),
                    retries: 1,
                    timeout_ms: 300_000,
                    ..OpenAiConfig::new(base_url.clone(), model.clone())
                };
                Player::new(&spec.name, Arc::new(OpenAiClient::new(config)?.streamed()))
            }
        })
    }
}
