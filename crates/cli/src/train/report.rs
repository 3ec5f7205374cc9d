//! The report of a run: curves and sample answers.

use anyhow::Result;
use camelid_recipe::{Experiment, Opened};
use camelid_report::{Line, PAGE_STYLE, Report, ReportError, environment, line_chart, text_table};
use camelid_train::{EvalPoint, Summary};
use minijinja::context;
use serde::Serialize;

/// An answer before and after training.
#[derive(Serialize)]
pub struct Sample {
    /// The last message before the answer.
    pub question: String,
    /// The answer in the test set.
    pub reference: String,
    /// The base model's answer; absent after full fine-tuning.
    pub before: Option<String>,
    /// The tuned model's answer.
    pub after: String,
}

#[derive(Serialize)]
pub struct TrainReport {
    name: String,
    about: Vec<String>,
    steps: usize,
    trainable_parameters: u64,
    tokens: usize,
    seconds: f64,
    tokens_per_second: f64,
    peak_mib: f64,
    losses: Vec<f64>,
    evals: Vec<EvalPoint>,
    samples: Vec<Sample>,
}

impl TrainReport {
    pub fn new(
        experiment: &Experiment,
        opened: &Opened,
        summary: &Summary,
        samples: Vec<Sample>,
    ) -> Result<Self> {
        Ok(Self {
            name: experiment.name.clone(),
            about: opened.about.clone(),
            steps: summary.steps,
            trainable_parameters: super::trainable(opened, experiment)?,
            tokens: summary.tokens,
            seconds: summary.seconds,
            tokens_per_second: summary.tokens_per_second,
            peak_mib: summary.peak_mib,
            losses: summary.losses.clone(),
            evals: summary.evals.clone(),
            samples,
        })
    }

    /// Names and values of the figures.
    fn figures(&self) -> Vec<Vec<String>> {
        let mut rows = vec![
            ("steps", self.steps.to_string()),
            ("trained parameters", self.trainable_parameters.to_string()),
            ("tokens trained on", self.tokens.to_string()),
            ("loss of the first step", self.losses.first().map_or("–".into(), |loss| format!("{loss:.3}"))),
            (
                "mean loss of the last steps (ten at most)",
                self.last_ten().map_or("–".into(), |loss| format!("{loss:.3}")),
            ),
        ];
        if let Some(eval) = self.evals.last() {
            let (loss, perplexity) = (eval.loss.loss, eval.loss.perplexity);
            rows.push(("test loss at the end", format!("{loss:.3} (perplexity {perplexity:.2})")));
        }
        rows.push(("tokens a second (median)", format!("{:.0}", self.tokens_per_second)));
        rows.push(("time of the steps", format!("{:.0} s", self.seconds)));
        rows.push(("peak memory", format!("{:.0} MiB", self.peak_mib)));
        rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect()
    }

    fn last_ten(&self) -> Option<f64> {
        let last = &self.losses[self.losses.len().saturating_sub(10)..];
        (!last.is_empty()).then(|| last.iter().sum::<f64>() / last.len() as f64)
    }

    fn curves(&self) -> Result<String, ReportError> {
        let training = self.losses.iter().enumerate().map(|(i, loss)| (i as f64 + 1.0, *loss)).collect();
        let mut lines = vec![Line { name: "training", points: training }];
        if !self.evals.is_empty() {
            let points = self.evals.iter().map(|eval| (eval.step as f64, eval.loss.loss)).collect();
            lines.push(Line { name: "test", points });
        }
        line_chart(&lines, "step", "loss, nats per token")
    }
}

impl Report for TrainReport {
    fn text(&self) -> String {
        text_table(&[&self.name, ""], &self.figures(), &[])
    }

    fn page(&self) -> Result<String, ReportError> {
        let mut environment = environment();
        environment.add_template("report", include_str!("report.html"))?;
        Ok(environment.get_template("report")?.render(context! {
            style => PAGE_STYLE,
            name => self.name.clone(),
            about => self.about.clone(),
            figures => self.figures(),
            curves => self.curves()?,
            samples => minijinja::Value::from(minijinja::value::Serde(&self.samples)),
        })?)
    }
}
