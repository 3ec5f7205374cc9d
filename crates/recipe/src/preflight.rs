//! Before a run: what would be fetched, what a step would hold, what the run would cost, and
//! whether this machine can hold it.

use camelid_data::catalogue::{Catalogue, HubKind};
use camelid_model::{DenseStorage, LlamaConfig};
use camelid_train::{Cost, MemoryPlan, OptimSpill, StepShape};

use crate::named::source_named;
use crate::{Experiment, RecipeError, nano};

impl Experiment {
    /// The shape of a step over a training set of `examples`; where the length is in steps, their
    /// number does not matter.
    pub fn step_shape(&self, examples: usize) -> StepShape {
        let train = self.train_settings(examples);
        StepShape {
            micro_batch_size: train.micro_batch_size,
            grad_accum: train.grad_accum,
            max_length: self.data.max_length,
            max_steps: train.max_steps,
            optimizer_bits: train.optim,
            optimizer_budget: train.optim_budget_bytes,
            activation_checkpointing: train.activation_checkpointing,
            block_inputs_budget: train.block_inputs_budget_bytes,
            embeddings: DenseStorage::F32,
            stream_budget: None,
        }
    }

    /// What a step holds for a model of this shape.
    ///
    /// # Errors
    /// Adapter targets that cannot be understood.
    pub fn memory_plan(&self, model: &LlamaConfig) -> Result<MemoryPlan, RecipeError> {
        let step = self.step_shape(0);
        Ok(MemoryPlan::of_step(model, &self.weight_storage(), self.lora.as_ref(), &step)?)
    }

    /// Tokens and operations of a run over `examples`.
    pub fn cost(&self, model: &LlamaConfig, examples: usize) -> Cost {
        Cost::of_run(model, self.lora.is_some(), &self.step_shape(examples))
    }

    /// What is missing to hold a step on this machine, as a clause; `None` when nothing is, or the
    /// system does not say what it has.
    ///
    /// # Errors
    /// As [`Self::memory_plan`].
    pub fn memory_shortfall(&self, model: &LlamaConfig) -> Result<Option<String>, RecipeError> {
        let plan = self.memory_plan(model)?;
        // The device is this machine: what is paged to host memory is held all the same.
        let paged = if self.train.optim_spill == OptimSpill::Host { plan.optimizer_paged } else { 0 };
        let needed = plan.device_total() + paged;
        Ok(available_memory().filter(|available| needed > *available).map(|available| {
            format!("a step needs {:.1} GiB and {:.1} GiB are available", gib(needed), gib(available))
        }))
    }

    /// What would be fetched, one line a source.
    ///
    /// # Errors
    /// A name that the catalogue does not have.
    pub fn sources(&self) -> Result<Vec<String>, RecipeError> {
        if self.model.base == nano::BASE {
            return Ok(vec!["nothing: the world is generated, and its base model is made here".to_owned()]);
        }
        let catalogue = Catalogue::builtin()?;
        let mut lines = Vec::new();
        for (name, kind) in [(&self.model.base, HubKind::Model), (&self.data.source, HubKind::Dataset)] {
            let Some(source) = source_named(name, kind, &catalogue)? else {
                lines.push(format!("{name}: given"));
                continue;
            };
            let bytes: Option<u64> = source.files.iter().map(|file| file.size).sum();
            let size = bytes.map_or("size not recorded".to_owned(), |b| {
                format!("{:.1} MiB", b as f64 / f64::from(1 << 20))
            });
            let place = source.hub.as_ref().map_or("its URL".to_owned(), |hub| format!("hub {}", hub.repo));
            let (about, files, licence) = (&source.about, source.files.len(), &source.licence);
            lines.push(format!("{name}: {about} ({place}, {files} files, {size}, {licence})"));
        }
        Ok(lines)
    }

    /// The plan of a run as a text: sources, memory part by part, cost, and whether this machine
    /// can hold it.
    ///
    /// # Errors
    /// As [`Self::sources`] and [`Self::memory_plan`].
    pub fn plan_text(&self, model: &LlamaConfig, examples: usize) -> Result<String, RecipeError> {
        let mut lines = vec![
            format!("{} ({} parameters)", self.name, grouped(model.parameter_count() as u64)),
            String::new(),
            "would fetch".to_owned(),
        ];
        lines.extend(self.sources()?.into_iter().map(|line| format!("  {line}")));
        let plan = self.memory_plan(model)?;
        let part = |name: &str, bytes: u64| format!("  {name:<22} {:>10.3} GiB", gib(bytes));
        lines.extend([String::new(), "would hold on the device".to_owned()]);
        lines.extend(plan.parts().iter().map(|(name, bytes)| part(name, *bytes)));
        lines.push(part("total", plan.device_total()));
        lines.push("would page out to host memory or a file".to_owned());
        lines.push(part("optimizer", plan.optimizer_paged));
        let cost = self.cost(model, examples);
        lines.extend([
            String::new(),
            "would cost, for each seed".to_owned(),
            format!(
                "  {} tokens at most, {:.3e} floating-point operations",
                grouped(cost.tokens),
                cost.flops
            ),
            String::new(),
        ]);
        lines.push(match self.memory_shortfall(model)? {
            None => "This machine can hold it.".to_owned(),
            Some(sentence) => format!("This machine cannot hold it: {sentence}."),
        });
        Ok(lines.join("\n"))
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
        let plan = experiment.memory_plan(&LlamaConfig::llama_65b()).unwrap();
        assert!(plan.device_total() < 48_000_000_000, "{}", plan.device_total());
        assert_eq!(plan.optimizer_resident, 0);
        assert_eq!(plan.optimizer_paged, 2 * plan.adapter);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!((grouped(7).as_str(), grouped(1234567).as_str()), ("7", "1,234,567"));
    }
}
