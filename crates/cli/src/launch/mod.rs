//! `camelid launch`: the file that a scheduler of machines takes to run an experiment elsewhere.

mod sky;
mod slurm;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use camelid_data::catalogue::Catalogue;
use camelid_files::write_whole;
use camelid_recipe::{Experiment, Machine, Machines, known_shape};

/// What `camelid train` ends with when it was interrupted and everything so far is saved.
const INTERRUPTED: u8 = 130;
/// Hours asked for where nobody can tell.
const UNKNOWN_HOURS: f64 = 24.0;
/// More than the estimate by this factor is asked for.
const MARGIN: f64 = 1.5;

const EXAMPLES: &str = "Examples:
  camelid launch experiments/vicuna/qlora-7b.toml --sky --out qlora-7b.yaml
  sky jobs launch qlora-7b.yaml
  camelid launch experiments/vicuna/qlora-7b.toml --slurm --out qlora-7b.sbatch && sbatch qlora-7b.sbatch";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES, group(clap::ArgGroup::new("scheduler").required(true).args(["sky", "slurm"])))]
pub struct Args {
    /// Experiment file, within the folder from which the file is launched
    #[arg(value_name = "EXPERIMENT.toml")]
    experiment: PathBuf,
    /// Write a SkyPilot task
    #[arg(long)]
    sky: bool,
    /// Write an sbatch script for Slurm
    #[arg(long)]
    slurm: bool,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Devices to ask for, as in A100-80GB:1 [default: one that holds a step]
    #[arg(long, value_name = "NAME:COUNT")]
    accelerators: Option<String>,
    /// Bucket for data and checkpoints (SkyPilot makes it), as in my-bucket
    #[arg(long, default_value = "YOUR-BUCKET", value_name = "NAME")]
    bucket: String,
    /// Ask for machines that are not taken away, at their price
    #[arg(long)]
    on_demand: bool,
}

/// What both schedulers are told.
struct Task<'a> {
    experiment: &'a Experiment,
    /// As in the folder from which it is launched.
    file: String,
    accelerators: String,
    hours: f64,
    bucket: &'a str,
    spot: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let experiment = Experiment::read(&args.experiment)?;
    let file = relative(&args.experiment)?;
    if args.bucket.is_empty() || !args.bucket.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    {
        bail!("--bucket {}: expected letters, digits, `-`, `_` and `.`", args.bucket);
    }
    let (accelerators, hours) = match &args.accelerators {
        Some(given) => (checked(given)?, chosen(&experiment)?.1),
        None => {
            let (machine, hours) = chosen(&experiment)?;
            (format!("{}:1", machine.accelerator), hours)
        }
    };
    let bucket = &args.bucket;
    let task = Task { experiment: &experiment, file, accelerators, hours, bucket, spot: !args.on_demand };
    let text = if args.sky { sky::text(&task) } else { slurm::text(&task) };
    write_whole(&args.out, text.as_bytes())?;
    camelid_files::say!("wrote {}", args.out.display());
    Ok(())
}

/// The experiment's path in the folder that is launched; one outside it would not be there.
fn relative(path: &Path) -> Result<String> {
    let whole = path.canonicalize().with_context(|| format!("cannot find {}", path.display()))?;
    let here = std::env::current_dir().context("cannot tell the current folder")?.canonicalize()?;
    let inside = whole.strip_prefix(&here).map_err(|_| {
        anyhow::anyhow!("{} lies outside {}, which is what is launched", path.display(), here.display())
    })?;
    let text =
        inside.to_str().filter(|text| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c)));
    Ok(text
        .with_context(|| {
            format!("{}: expected letters, digits, `-`, `_` and `.` in its path", inside.display())
        })?
        .to_owned())
}

fn checked(accelerators: &str) -> Result<String> {
    let (name, count) = accelerators.split_once(':').unwrap_or((accelerators, "1"));
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !plain || !count.parse::<u32>().is_ok_and(|count| count > 0) {
        bail!("--accelerators {accelerators}: expected a name and a number, as in A100-80GB:1");
    }
    Ok(format!("{name}:{count}"))
}

/// The machine with the smallest device that holds a step, and the hours that one device takes. A run
/// is of one device; where none holds it, the largest is asked for, with a warning.
fn chosen(experiment: &Experiment) -> Result<(Machine, f64)> {
    let mut machines = Machines::builtin()?.machines;
    machines.sort_by_key(|machine| (machine.memory_gb, (1000.0 * machine.on_demand) as u64));
    let largest = machines.last().cloned().context("the table of machines is empty")?;
    let Some(model) = known_shape(&experiment.model.base) else {
        camelid_files::say!(
            "warning: the shape of {} is not known here; asking for {}",
            experiment.model.base,
            largest.name
        );
        return Ok((largest, UNKNOWN_HOURS));
    };
    let needed = experiment.preflight(&model, 0)?.plan.peak();
    let machine = machines.into_iter().find(|machine| machine.memory() >= needed).unwrap_or_else(|| {
        camelid_files::say!(
            "warning: a step needs {:.0} GiB on one device, more than {} has; training is not divided among \
             devices yet: quantise the base, or use adapters",
            needed as f64 / f64::from(1 << 30),
            largest.name
        );
        largest
    });
    let rows = experiment.data.expected.map(|expected| expected.rows);
    let hours = match rows {
        None => UNKNOWN_HOURS,
        Some(rows) => {
            let tokens = experiment.data.expected.and_then(|expected| expected.tokens);
            let budget = experiment.budget(&model, rows, tokens)?;
            let flops = budget.flops.unwrap_or(budget.padded_flops);
            let one = Machine { devices: 1, ..machine.clone() };
            MARGIN * one.hours(flops, Machines::builtin()?.efficiency)
        }
    };
    Ok((machine, hours))
}

impl Task<'_> {
    /// Shell lines that prepare a clean machine, in the folder of the checkout.
    fn setup(&self) -> [&'static str; 6] {
        [
            "if ! command -v cargo >/dev/null; then",
            "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal",
            "fi",
            ". \"$HOME/.cargo/env\" 2>/dev/null || true",
            "cargo xtask setup-llvm",
            "cargo build --package camelid --features camelid-kernels/cuda",
        ]
    }

    /// Shell lines that run the experiment, or go on with it; `$RUNS` is where runs are kept and `$DATA`
    /// what relative paths of data and base are below. They end with the exit code of the training.
    fn train(&self) -> Vec<String> {
        let name = &self.experiment.name;
        let mut sets = String::new();
        let paths =
            [("model.base", &self.experiment.model.base), ("data.source", &self.experiment.data.source)];
        for (key, path) in paths {
            if is_relative_path(path) {
                sets += &format!(" --set {key}=\"$DATA/{path}\"");
            }
        }
        vec![
            ". \"$HOME/.cargo/env\" 2>/dev/null || true".to_owned(),
            "mkdir -p \"$RUNS\"".to_owned(),
            format!("if [ -f \"$RUNS/{name}/experiment.toml\" ]; then"),
            format!("  target/debug/camelid train --resume \"$RUNS/{name}\" --device cuda"),
            "else".to_owned(),
            format!("  target/debug/camelid train {} --run \"$RUNS/{name}\" --device cuda{sets}", self.file),
            "fi".to_owned(),
        ]
    }
}

/// Whether a base or source is a path below the folder that is launched, and no name of the catalogue.
fn is_relative_path(name: &str) -> bool {
    let known = Catalogue::builtin().is_ok_and(|catalogue| catalogue.get(name).is_ok());
    !known && name != "nano" && Path::new(name).is_relative()
}
