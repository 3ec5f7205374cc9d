//! The plan beside what was measured.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use camelid_files::write_whole;
use camelid_model::LlamaConfig;
use camelid_train::{MemoryPlan, StateBits, StepPhase};
use serde::Serialize;

use super::bytes::{file_bytes, size};
use super::{PROCESS_RESERVE, QloraMemoryArguments, Size};
use crate::workspace::workspace;

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// Name of the shapes.
    pub size: String,
    #[serde(skip)]
    pub model: LlamaConfig,
    /// Blocks of the model as used.
    pub layers: usize,
    /// Parameters of the model as used.
    pub parameters: u64,
    pub batch: usize,
    pub seq: usize,
    pub rank: usize,
    pub optimizer: StateBits,
    pub optimizer_budget: Option<u64>,
    pub checkpointing: bool,
    /// Whether base weights stream from a file.
    pub streamed: bool,
    /// Most bytes the process may hold.
    pub budget: u64,
    /// Most bytes of streamed weights in memory.
    pub weights_budget: Option<u64>,
    pub inputs_budget: Option<u64>,
    pub steps: u32,
    pub seed: u64,
    /// When the disk had no room for the whole model.
    pub cut: Option<Cut>,
}

/// The model that there was no room for.
#[derive(Clone, Debug, Serialize)]
pub struct Cut {
    pub layers: usize,
    pub file_bytes: u64,
    pub plan: MemoryPlan,
}

impl Settings {
    /// From the command line, defaults filled in.
    pub fn from_arguments(arguments: &QloraMemoryArguments) -> anyhow::Result<Self> {
        let mut model = arguments.size.model();
        if let Some(layers) = arguments.layers {
            let has = model.num_hidden_layers;
            anyhow::ensure!(
                layers as usize <= has,
                "--layers {layers}: LLaMA {} has {has} blocks",
                arguments.size
            );
            model.num_hidden_layers = layers as usize;
        }
        anyhow::ensure!(
            arguments.seq as usize <= model.max_position_embeddings,
            "--seq {}: the model has {} positions",
            arguments.seq,
            model.max_position_embeddings
        );
        let streamed = arguments.stream || (arguments.size == Size::B65 && !arguments.in_memory);
        anyhow::ensure!(!(streamed && arguments.no_checkpointing), "weights stream only with checkpointing");
        let budget = arguments.budget.unwrap_or(if streamed { 16 << 30 } else { 24 << 30 });
        Ok(Self {
            size: arguments.size.to_string(),
            layers: model.num_hidden_layers,
            parameters: model.parameter_count() as u64,
            model,
            batch: arguments.batch as usize,
            seq: arguments.seq as usize,
            rank: arguments.rank as usize,
            optimizer: arguments.optimizer,
            optimizer_budget: arguments.optimizer_budget,
            checkpointing: !arguments.no_checkpointing,
            streamed,
            budget,
            weights_budget: arguments.weights_budget,
            inputs_budget: arguments.inputs_budget,
            steps: arguments.steps,
            seed: arguments.seed,
            cut: None,
        })
    }

    /// Where the run is kept.
    pub fn folder(&self, arguments: &QloraMemoryArguments) -> PathBuf {
        let runs = arguments.runs.clone().unwrap_or_else(|| workspace().join("runs"));
        let how = if self.streamed { "-streamed" } else { "" };
        runs.join(format!("qlora-memory-{}{how}", self.size))
    }

    /// The model with other than its blocks.
    pub fn with_layers(&self, layers: usize) -> LlamaConfig {
        LlamaConfig { num_hidden_layers: layers, ..self.model.clone() }
    }

    /// Keeps only so many blocks, and what the whole would have been.
    pub fn cut_to(&mut self, layers: usize, whole: MemoryPlan) {
        let file_bytes = file_bytes(&self.model);
        self.cut = Some(Cut { layers: self.layers, file_bytes, plan: whole });
        self.model = self.with_layers(layers);
        self.layers = layers;
        self.parameters = self.model.parameter_count() as u64;
    }

    /// Gives streamed weights what the budget leaves; whether everything fits.
    pub fn within_budget(&mut self, plan: &mut MemoryPlan) -> anyhow::Result<bool> {
        if self.streamed {
            let others = plan.peak() - plan.weights + PROCESS_RESERVE + self.budget / 32;
            let left = self.budget.saturating_sub(others).min(plan.weights_in_file);
            let least = 2 * plan.streamed_block;
            self.weights_budget = Some(self.weights_budget.unwrap_or(left).max(least).min(left.max(least)));
            *plan = super::plan(self)?;
        }
        Ok(plan.peak() + PROCESS_RESERVE <= self.budget)
    }
}

/// A phase of the step, as planned and as it was.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseMeasured {
    pub phase: StepPhase,
    pub seconds: f64,
    /// Of them waiting for weights from the disk.
    pub waiting_seconds: f64,
    pub planned_bytes: u64,
    pub peak_bytes: u64,
}

/// What streaming did in the last step.
#[derive(Clone, Debug, Serialize)]
pub struct Streamed {
    pub read_bytes: u64,
    pub read_seconds: f64,
    pub waits: u64,
    pub waiting_seconds: f64,
    /// The most bytes of weights that were in memory, by the stream's own count.
    pub peak_resident_bytes: u64,
    /// Pages of the mapping in memory at the end, by the system's count.
    pub mapped_resident_bytes: Option<u64>,
}

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub settings: Settings,
    pub plan: MemoryPlan,
    pub planned_peak_bytes: u64,
    /// Bytes of the weights' file.
    pub file_bytes: Option<u64>,
    pub write_bytes_per_second: Option<f64>,
    /// Parameters made, quantised and stored per second.
    pub made_per_second: f64,
    /// Seconds of what came before the step.
    pub times: Vec<(String, f64)>,
    /// What the process held before anything was made: code and threads.
    pub baseline_bytes: u64,
    /// The highest memory above that, by what was going on.
    pub peaks: Vec<(String, u64)>,
    pub held_before_step: u64,
    /// The last step's phases.
    pub phases: Vec<PhaseMeasured>,
    pub streamed: Option<Streamed>,
    pub losses: Vec<f64>,
    pub grad_norms: Vec<f64>,
    pub optimizer_bytes: u64,
    pub optimizer_resident_bytes: u64,
    /// Files in memory when the step was over, system-wide; no part of the process.
    pub page_cache_bytes: Option<u64>,
}

impl Report {
    /// One without measurements yet.
    pub fn new(settings: Settings, plan: MemoryPlan) -> Self {
        let mut report = Self {
            planned_peak_bytes: 0,
            settings,
            plan,
            file_bytes: None,
            write_bytes_per_second: None,
            made_per_second: 0.0,
            times: Vec::new(),
            baseline_bytes: 0,
            peaks: Vec::new(),
            held_before_step: 0,
            phases: Vec::new(),
            streamed: None,
            losses: Vec::new(),
            grad_norms: Vec::new(),
            optimizer_bytes: 0,
            optimizer_resident_bytes: 0,
            page_cache_bytes: None,
        };
        report.planned_peak_bytes = report.planned_peak();
        report
    }

    /// Notes what took how long, and says so.
    pub fn time(&mut self, what: &str, seconds: f64) {
        println!("{what}: {seconds:.1} s");
        self.times.push((what.to_owned(), seconds));
    }

    /// Notes how high memory was.
    pub fn peak(&mut self, what: &str, bytes: u64) {
        self.peaks.push((what.to_owned(), bytes));
    }

    /// What the plan says of a phase. Before the first update the optimizer has no state.
    pub fn planned(&self, phase: StepPhase) -> u64 {
        let phases = &self.plan.phases;
        let without_state = if self.settings.steps == 1 { self.plan.optimizer_resident } else { 0 };
        match phase {
            StepPhase::Forward => phases.forward - without_state,
            StepPhase::Head => phases.head - without_state,
            StepPhase::Backward => phases.backward - without_state,
            StepPhase::Optimizer => phases.optimizer,
        }
    }

    /// The highest of them.
    fn planned_peak(&self) -> u64 {
        let phases = [StepPhase::Forward, StepPhase::Head, StepPhase::Backward, StepPhase::Optimizer];
        phases.into_iter().map(|phase| self.planned(phase)).max().unwrap_or(0)
    }

    /// The highest the process ever was, code and threads included.
    pub fn peak_bytes(&self) -> u64 {
        self.baseline_bytes + self.peaks.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0)
    }

    /// When memory rose above the budget.
    pub fn broken_promise(&self) -> Option<String> {
        let (peak, budget) = (self.peak_bytes(), self.settings.budget);
        (peak > budget)
            .then(|| format!("the process held {}, more than the budget of {}", size(peak), size(budget)))
    }

    /// Writes `report.json` and `report.md`, each whole or not at all.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        write_whole(&folder.join("report.json"), &serde_json::to_vec_pretty(self)?)?;
        Ok(write_whole(&folder.join("report.md"), self.markdown().as_bytes())?)
    }

    /// The report as tables.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let settings = &self.settings;
        let tokens = settings.batch * settings.seq;
        let seconds: f64 = self.phases.iter().map(|phase| phase.seconds).sum();
        let peak = self.peak_bytes();
        let step = self.phases.iter().map(|phase| phase.peak_bytes).max().unwrap_or(0);
        let _ = writeln!(text, "# One QLoRA step: {}\n", title(settings));
        if let Some(cut) = &settings.cut {
            let _ = writeln!(
                text,
                "The disk had room for {} of {} blocks. The whole model's file has {}, and its step is \
                 planned at {}.\n",
                settings.layers,
                cut.layers,
                size(cut.file_bytes),
                size(cut.plan.peak())
            );
        }
        let _ = writeln!(text, "| figure | value |\n|---|---|");
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "| {name} | {value} |");
        };
        row("parameters", format!("{:.3} G", settings.parameters as f64 / 1e9));
        row("peak memory of the step, planned", size(self.planned_peak_bytes));
        row(
            "peak memory of the step, measured",
            format!("{} ({})", size(step), against(step, self.planned_peak_bytes)),
        );
        row("peak memory of the process", size(peak));
        row("budget", size(settings.budget));
        row("bytes per parameter, at the peak", format!("{:.3}", peak as f64 / settings.parameters as f64));
        if let Some(bytes) = self.file_bytes {
            row("weights' file", size(bytes));
        }
        row("parameters made per second", format!("{:.0} M", self.made_per_second / 1e6));
        if let Some(rate) = self.write_bytes_per_second {
            row("disk, writing", format!("{:.0} MB/s", rate / 1e6));
        }
        if let Some(streamed) = &self.streamed {
            let rate = streamed.read_bytes as f64 / streamed.read_seconds.max(1e-9) / 1e6;
            row("disk, reading", format!("{} at {rate:.0} MB/s", size(streamed.read_bytes)));
            row("weights in memory at most", size(streamed.peak_resident_bytes));
            if let Some(mapped) = streamed.mapped_resident_bytes {
                row("mapped pages in memory at the end", size(mapped));
            }
            row("waiting for weights", format!("{:.1} s", streamed.waiting_seconds));
        }
        if let Some(bytes) = self.page_cache_bytes {
            row("page cache of the system at the end (not counted)", size(bytes));
        }
        row("tokens per second", format!("{:.2}", tokens as f64 / seconds.max(1e-9)));
        row("loss", self.losses.iter().map(|loss| format!("{loss:.6}")).collect::<Vec<_>>().join(", "));
        row(
            "gradient norm",
            self.grad_norms.iter().map(|n| format!("{n:.6}")).collect::<Vec<_>>().join(", "),
        );
        let _ = writeln!(
            text,
            "\n| phase | seconds | of it waiting for the disk | planned | measured | |\n|---|---|---|---|---|---|"
        );
        for (what, seconds) in &self.times {
            let _ = writeln!(text, "| {what} | {seconds:.1} | | | | |");
        }
        for phase in &self.phases {
            let _ = writeln!(
                text,
                "| {:?} | {:.1} | {:.1} | {} | {} | {} |",
                phase.phase,
                phase.seconds,
                phase.waiting_seconds,
                size(phase.planned_bytes),
                size(phase.peak_bytes),
                against(phase.peak_bytes, phase.planned_bytes)
            );
        }
        let _ = writeln!(text, "\n{}", parts(&self.plan));
        let held = self.plan.weights + self.plan.constants + self.plan.dense + self.plan.adapter;
        let shown = if settings.streamed { held - self.plan.weights } else { held };
        let _ = writeln!(
            text,
            "Before the step: {} planned (what streams left out), {} measured.",
            size(shown),
            size(self.held_before_step)
        );
        text
    }
}

/// The plan as it is printed before anything happens.
pub fn plan_table(settings: &Settings, plan: &MemoryPlan) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "# The plan of one QLoRA step: {}\n", title(settings));
    if let Some(cut) = &settings.cut {
        let _ = writeln!(
            text,
            "The disk has room for {} of {} blocks; the whole model's file would have {}.\n",
            settings.layers,
            cut.layers,
            size(cut.file_bytes)
        );
    }
    text += &parts(plan);
    let _ = writeln!(
        text,
        "\npeak of the step: {}; with the process itself {}; budget {}",
        size(plan.peak()),
        size(plan.peak() + PROCESS_RESERVE),
        size(settings.budget)
    );
    if settings.streamed {
        let _ = writeln!(
            text,
            "weights' file: {}; of it in memory at most {}, one block is {}",
            size(file_bytes(&settings.model)),
            size(plan.weights),
            size(plan.streamed_block)
        );
    }
    text
}

fn title(settings: &Settings) -> String {
    format!(
        "{} ({} blocks, {:.2} G parameters), r {}, {} × {} tokens, {}-bit AdamW, base weights {}",
        settings.size,
        settings.layers,
        settings.parameters as f64 / 1e9,
        settings.rank,
        settings.batch,
        settings.seq,
        settings.optimizer.bits(),
        if settings.streamed { "streamed from a file" } else { "in memory" },
    )
}

fn parts(plan: &MemoryPlan) -> String {
    let mut text = String::from("| part | planned |\n|---|---|\n");
    for (name, bytes) in plan.parts() {
        let _ = writeln!(text, "| {name} | {} |", size(bytes));
    }
    text
}

fn against(measured: u64, planned: u64) -> String {
    format!("{:+.1} %", 100.0 * (measured as f64 / planned.max(1) as f64 - 1.0))
}
