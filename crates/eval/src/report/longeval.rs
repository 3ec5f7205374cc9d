//! A report on LongEval: accuracy against length.

use camelid_report::{
    Measured, PAGE_STYLE, Report, ReportError, Tabular, environment, interval_chart, text_table,
};
use polars::prelude::{Column, DataFrame, PolarsResult};

use crate::longeval::{LengthScore, LongEvalScores, LongEvalTask};

/// How the answers were marked, in words.
const MARKING: &str = "Lines: the last number of an answer is the one asked for. Topics: the answer holds the words \
                       of the first topic (our rule; the published figures are of GPT-3.5's verdicts). Intervals \
                       are Wilson's, 95 %.";

impl Report for LongEvalScores {
    fn text(&self) -> String {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
        let row = |score: &LengthScore| {
            vec![
                score.task.as_str().to_owned(),
                score.model.clone(),
                or_dash(score.length.map(|length| length.to_string())),
                or_dash(score.prompt_tokens.map(|tokens| format!("{tokens:.0}"))),
                format!("{} of {}", score.correct, score.cases),
                format!("{:.2}", score.accuracy),
                format!("{:.2} – {:.2}", score.low, score.high),
                or_dash(score.stated_accuracy.map(|stated| format!("{stated:.2}"))),
            ]
        };
        let rows: Vec<Vec<String>> = self.files.iter().map(row).collect();
        let header =
            ["task", "model", "length", "prompt tokens", "right", "accuracy", "95 % interval", "stated"];
        let notes: String = self.notes.iter().map(|note| format!("{note}\n")).collect();
        text_table(&header, &rows, &[0, 1]) + MARKING + "\n" + &notes
    }

    fn page(&self) -> Result<String, ReportError> {
        let mut environment = environment();
        environment.add_template("longeval", include_str!("longeval.html.j2"))?;
        let mut plots = Vec::new();
        for task in [LongEvalTask::Lines, LongEvalTask::Topics] {
            let plot = self.plot(task)?;
            if !plot.is_empty() {
                plots.push((task.as_str(), plot));
            }
        }
        Ok(environment.get_template("longeval")?.render(minijinja::context! {
            scores => minijinja::Value::from(minijinja::value::Serde(self)),
            marking => MARKING,
            style => PAGE_STYLE,
            plots,
        })?)
    }
}

impl LongEvalScores {
    /// Accuracy against length for one task, a line a model, as SVG text; empty without scores.
    ///
    /// # Errors
    /// When it cannot be drawn.
    pub fn plot(&self, task: LongEvalTask) -> Result<String, ReportError> {
        let of_task: Vec<&LengthScore> = self.files.iter().filter(|score| score.task == task).collect();
        let mut models: Vec<&str> = of_task.iter().map(|score| score.model.as_str()).collect();
        models.dedup();
        let point = |score: &&LengthScore| Some((score.position()?, score.accuracy, score.low, score.high));
        let series: Vec<Measured> = models
            .iter()
            .map(|name| Measured {
                name,
                points: of_task.iter().filter(|score| score.model == *name).filter_map(point).collect(),
            })
            .collect();
        // One axis for all: tokens only where every file tells them.
        let axis = match of_task.iter().all(|score| score.prompt_tokens.is_some()) {
            true => "tokens of the prompt",
            false => task.as_str(),
        };
        interval_chart(&series, axis, "accuracy", (0.0, 1.0))
    }
}

impl Tabular for LongEvalScores {
    fn frame(&self) -> PolarsResult<DataFrame> {
        let texts = |name: &str, of: fn(&LengthScore) -> &str| {
            Column::new(name.into(), self.files.iter().map(of).collect::<Vec<_>>())
        };
        let numbers = |name: &str, of: fn(&LengthScore) -> Option<f64>| {
            Column::new(name.into(), self.files.iter().map(of).collect::<Vec<_>>())
        };
        let counts = |name: &str, of: fn(&LengthScore) -> Option<usize>| {
            let of = |score| of(score).map(|count| count as u64);
            Column::new(name.into(), self.files.iter().map(of).collect::<Vec<_>>())
        };
        let columns = vec![
            texts("task", |score| score.task.as_str()),
            texts("model", |score| &score.model),
            counts("length", |score| score.length),
            counts("cases", |score| Some(score.cases)),
            counts("correct", |score| Some(score.correct)),
            numbers("accuracy", |score| Some(score.accuracy)),
            numbers("low", |score| Some(score.low)),
            numbers("high", |score| Some(score.high)),
            numbers("stated_accuracy", |score| score.stated_accuracy),
            numbers("prompt_tokens", |score| score.prompt_tokens),
        ];
        DataFrame::new(self.files.len(), columns)
    }
}
