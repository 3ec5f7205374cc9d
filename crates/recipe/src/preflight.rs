//! Before a run: what would be fetched, what a step would hold, what the run would cost, and
//! whether this machine can hold it.

use camelid_data::catalogue::{Catalogue, FetchOptions};
use camelid_model::{DenseStorage, LlamaConfig};
use camelid_train::{Cost, MemoryPlan, OptimSpill, StepShape, TrainSettings};

use crate::{Experiment, Opened, RecipeError, TestSet};

/// What a run would need of this machine: arithmetic, nothing is loaded.
#[derive(Clone, Debug)]
pub struct Preflight {
    /// The run's settings, its steps counted.
    pub settings: TrainSettings,
    /// What a step would hold, by part.
    pub plan: MemoryPlan,
    /// Tokens and operations of the run.
    pub cost: Cost,
    /// Bytes that the machine must have: the device is this machine, so what is paged to host memory
    /// is held all the same.
    needed: u64,
}

impl Experiment {
    /// What the run would need for a model of this shape and `examples` conversations, each as long
    /// as the experiment allows. Where the length is in steps, their number does not matter.
    ///
    /// # Errors
    /// Adapter targets that cannot be understood.
    pub fn preflight(&self, model: &LlamaConfig, examples: usize) -> Result<Preflight, RecipeError> {
        Preflight::of(self, model, examples, self.data.max_length)
    }

    /// What would have to be fetched, one line a source; what is here already is left out, and so is
    /// what is given as a path.
    ///
    /// # Errors
    /// A catalogue that cannot be read.
    pub fn downloads(&self, fetch: &FetchOptions) -> Result<Vec<String>, RecipeError> {
        let mut names = vec![self.model.base.as_str(), self.data.source.as_str()];
        if let Some(TestSet::Source(source)) = &self.data.test {
            names.push(source);
        }
        let catalogue = Catalogue::builtin()?;
        let offline = FetchOptions { offline: true, progress: false, ..fetch.clone() };
        let mut lines = Vec::new();
        for name in names {
            let Ok(source) = catalogue.get(name) else { continue };
            if std::path::Path::new(name).exists() || source.fetch(&offline).is_ok() {
                continue;
            }
            let bytes: Option<u64> = source.files.iter().map(|file| file.size).sum();
            let size = bytes.map_or("of unknown size".to_owned(), |bytes| {
                format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
            });
            let (about, files, licence) = (&source.about, source.files.len(), &source.licence);
            lines.push(format!("would fetch {name}: {about} ({files} files, {size}, {licence})"));
        }
        Ok(lines)
    }
}

impl Opened {
    /// What a run of `experiment` would need, on the longest conversations there are.
    ///
    /// # Errors
    /// Weights that cannot be read, adapter targets that cannot be understood.
    pub fn preflight(&self, experiment: &Experiment) -> Result<Preflight, RecipeError> {
        let longest = self.train.examples.iter().map(|example| example.ids.len()).max().unwrap_or(0);
        Preflight::of(experiment, &self.weights()?.config()?, self.train.examples.len(), longest)
    }
}

impl Preflight {
    fn of(
        experiment: &Experiment,
        model: &LlamaConfig,
        examples: usize,
        longest: usize,
    ) -> Result<Self, RecipeError> {
        let settings = experiment.train_settings(examples);
        let step = StepShape {
            micro_batch_size: settings.micro_batch_size,
            grad_accum: settings.grad_accum,
            max_length: longest,
            max_steps: settings.max_steps,
            optimizer_bits: settings.optim,
            optimizer_budget: settings.optim_budget_bytes,
            activation_checkpointing: settings.activation_checkpointing,
            block_inputs_budget: settings.block_inputs_budget_bytes,
            embeddings: DenseStorage::F32,
            stream_budget: None,
        };
        let plan = MemoryPlan::of_step(model, &experiment.weight_storage(), experiment.lora.as_ref(), &step)?;
        let paged = if settings.optim_spill == OptimSpill::Host { plan.optimizer_paged } else { 0 };
        let needed = plan.peak() + paged;
        let cost = Cost::of_run(model, experiment.lora.is_some(), &step);
        Ok(Self { settings, plan, cost, needed })
    }

    /// What is missing to hold a step on this machine, as a clause; `None` when nothing is, or the
    /// system does not say what it has.
    pub fn shortfall(&self) -> Option<String> {
        available_memory().filter(|available| self.needed > *available).map(|available| {
            format!("a step needs {:.1} GiB and {:.1} GiB are available", gib(self.needed), gib(available))
        })
    }

    /// Steps, memory part by part, cost, and whether this machine can hold it, in lines.
    pub fn text(&self) -> String {
        let part = |name: &str, bytes: u64| format!("  {name:<22} {:>10.3} GiB", gib(bytes));
        let settings = &self.settings;
        let mut lines = vec![
            format!(
                "would take {} steps of {} conversations, rate {} ({:?}), warm-up {:.1} %",
                settings.max_steps,
                settings.micro_batch_size * settings.grad_accum,
                settings.learning_rate,
                settings.lr_schedule,
                100.0 * settings.warmup_ratio,
            ),
            "would hold on the device".to_owned(),
        ];
        lines.extend(self.plan.parts().iter().map(|(name, bytes)| part(name, *bytes)));
        lines.push(part("peak of a step", self.plan.peak()));
        if self.plan.optimizer_paged > 0 {
            lines.push("would page out to host memory or a file".to_owned());
            lines.push(part("optimizer", self.plan.optimizer_paged));
        }
        let (tokens, flops) = (grouped(self.cost.tokens), self.cost.flops);
        lines.push(format!("would cost {tokens} tokens at most, {flops:.3e} floating-point operations"));
        lines.push(match self.shortfall() {
            None => "this machine can hold it".to_owned(),
            Some(shortfall) => format!("this machine cannot hold it: {shortfall}"),
        });
        lines.join("\n")
    }
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// `MemAvailable`; `None` where the system does not say.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// A number with its thousands set apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use camelid_train::StateBits;

    use super::*;
    use crate::Storage;

    #[test]
    fn a_65b_step_as_its_experiment_says_fits_48_gb() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/guanaco/65b.toml");
        let experiment = Experiment::read(&path).unwrap();
        assert_eq!(
            (experiment.train.optim, experiment.model.storage),
            (StateBits::Bits32, Storage::Quantized),
            "what the plan below is of"
        );
        let plan = experiment.preflight(&LlamaConfig::llama_65b(), 0).unwrap().plan;
        assert!(plan.device_total() < 48_000_000_000, "{}", plan.device_total());
        assert_eq!(plan.optimizer_resident, 0);
        assert_eq!(plan.optimizer_paged, 2 * plan.adapter);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!((grouped(7).as_str(), grouped(1234567).as_str()), ("7", "1,234,567"));
    }
}
