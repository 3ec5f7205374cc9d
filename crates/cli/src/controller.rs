//! `camelid controller`: many workers behind one address.

use std::time::Duration;

use anyhow::Result;
use camelid_files::program::UsageError;
use camelid_serve::{Controller, Log, WorkerTimeouts};

use crate::serve::{LimitArgs, ListenArgs, block_on, settings, stopped};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 21001)]
    port: u16,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    limits: LimitArgs,
    /// Forget a worker that is not heard of for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = WorkerTimeouts::default().expiry.as_secs())]
    expiry: u64,
    /// Give up a stream whose worker sends nothing for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = WorkerTimeouts::default().stream.as_secs())]
    stream_timeout: u64,
}

const EXAMPLES: &str = "Examples:
  camelid controller --port 21001
  camelid serve --model models/llama --port 8001 --controller http://localhost:21001
  camelid serve --model models/llama --port 8002 --controller http://localhost:21001

Clients speak OpenAI's API with the controller; so do FastChat's servers their own protocol. Workers register
without a key: let only machines that you trust reach the controller's port, or put a proxy before it that
passes on /v1 alone.";

pub fn run(args: &Args) -> Result<()> {
    for (option, seconds) in [("--expiry", args.expiry), ("--stream-timeout", args.stream_timeout)] {
        if seconds == 0 {
            return Err(UsageError(format!("{option} is 0, expected at least 1")).into());
        }
    }
    let settings = settings(&args.listen, &args.limits)?;
    // A controller passes texts on and does not read them.
    let log = Log::to(std::io::stdout(), false);
    let timeouts = WorkerTimeouts {
        expiry: Duration::from_secs(args.expiry),
        stream: Duration::from_secs(args.stream_timeout),
    };
    block_on(async {
        let address = format!("{}:{}", args.listen.host(), args.port);
        let controller = Controller::bind(address, settings, log, timeouts).await?;
        camelid_files::say!("controller at http://{}", controller.address());
        controller.run(stopped()).await;
        Ok(())
    })
}
