//! Who watches a run.

use std::io::IsTerminal;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use crate::{EvalPoint, StepRecord};

/// Told what happens in a run, as it happens.
pub trait Observer {
    /// The run begins, or goes on after `step` steps.
    fn start(&mut self, step: usize, max_steps: usize) {
        let _ = (step, max_steps);
    }
    /// A step is done.
    fn step(&mut self, record: &StepRecord) {
        let _ = record;
    }
    /// The held-out set was evaluated.
    fn eval(&mut self, point: &EvalPoint) {
        let _ = point;
    }
    /// A checkpoint was written.
    fn saved(&mut self, path: &Path) {
        let _ = path;
    }
    /// The run ended; `how_to_go_on` when it was interrupted.
    fn end(&mut self, how_to_go_on: Option<&str>) {
        let _ = how_to_go_on;
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// A bar on a terminal; where standard error is no terminal, a line now and then.
#[derive(Debug)]
pub struct Progress {
    name: String,
    bar: Option<ProgressBar>,
    max_steps: usize,
    /// Lines are written at every such step.
    every: usize,
}

impl Progress {
    /// Progress of a run called `name`, on standard error.
    pub fn new(name: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::no_length);
        Self { name: name.to_owned(), bar, max_steps: 0, every: 1 }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("{}: {text}", self.name)),
            None => camelid_files::say!("{}: {text}", self.name),
        }
    }
}

impl Observer for Progress {
    fn start(&mut self, step: usize, max_steps: usize) {
        self.max_steps = max_steps;
        self.every = (max_steps / 20).max(1);
        if let Some(bar) = &self.bar {
            bar.set_length(max_steps as u64);
            bar.set_position(step as u64);
            // A template that does not parse leaves the plain bar.
            if let Ok(style) =
                ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} {msg} ({eta} left)")
            {
                bar.set_style(style);
            }
            bar.set_prefix(self.name.clone());
        }
        if step > 0 {
            self.line(&format!("going on after step {step} of {max_steps}"));
        }
    }

    fn step(&mut self, r: &StepRecord) {
        let text = format!(
            "loss {:.4}  lr {:.2e}  norm {:.2}  {:.0} tok/s  {:.0} MiB",
            r.loss, r.lr, r.grad_norm, r.tokens_per_second, r.peak_mib
        );
        match &self.bar {
            Some(bar) => {
                bar.set_position(r.step as u64);
                bar.set_message(text);
            }
            None if r.step == 1 || r.step.is_multiple_of(self.every) || r.step == self.max_steps => {
                self.line(&format!("step {}/{}  {text}", r.step, self.max_steps));
            }
            None => {}
        }
    }

    fn eval(&mut self, point: &EvalPoint) {
        let (loss, perplexity) = (point.loss.loss, point.loss.perplexity);
        self.line(&format!("after step {}: held-out loss {loss:.4}, perplexity {perplexity:.2}", point.step));
    }

    fn end(&mut self, how_to_go_on: Option<&str>) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if let Some(text) = how_to_go_on {
            camelid_files::say!("{}: {text}", self.name);
        }
    }
}
