//! A report on benchmark tasks.

use std::fmt::Write as _;

use camelid_ratings::Z95;
use camelid_report::{Bar, PAGE_STYLE, Report, ReportError, Tabular, environment, interval_bars, text_table};
use polars::prelude::{Column, DataFrame, PolarsResult};
use serde::Serialize;

use crate::tasks::{Score, TaskReport};

/// Digits of a hash that are shown.
const HASH_DIGITS: usize = 12;

/// The scores of a model on several tasks; as JSON, the reports of the tasks in their order.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct TasksReport {
    reports: Vec<TaskReport>,
    #[serde(skip)]
    command: String,
}

impl TasksReport {
    /// The reports of tasks that `command` ran.
    pub fn new(reports: Vec<TaskReport>, command: String) -> Self {
        Self { reports, command }
    }

    fn rows(&self) -> impl Iterator<Item = (&TaskReport, &Score)> {
        self.reports.iter().flat_map(|report| report.scores.iter().map(move |score| (report, score)))
    }
}

/// Scores of all tasks that are shares, for one chart.
fn shares(reports: &[TaskReport]) -> Vec<(String, &Score)> {
    let share = |score: &&Score| !["perplexity", "loss", "bits_per_byte"].contains(&score.measure.as_str());
    let share = |score: &&Score| share(score) && (0.0..=1.0).contains(&score.value);
    let named = |report: &TaskReport, score: &Score| format!("{}, {}", report.task, score.measure);
    reports
        .iter()
        .flat_map(|report| report.scores.iter().filter(share).map(move |score| (named(report, score), score)))
        .collect()
}

/// The definition, the choice of examples and the other settings of a task.
fn settings(report: &TaskReport) -> String {
    let seed = report.seed.map_or_else(String::new, |seed| format!(", sample of seed {seed}"));
    let settings = report.settings.iter().map(|s| format!(", {s}")).collect::<String>();
    format!(
        "{} v{}, definition {}{seed}{settings}, {:.0} s",
        report.task,
        report.version,
        shortened(&report.definition_sha256),
        report.seconds
    )
}

fn shortened(hash: &str) -> &str {
    hash.get(..HASH_DIGITS).unwrap_or(hash)
}

fn model(report: &TaskReport) -> String {
    let model = &report.model;
    let template = model.template.as_ref().map_or_else(String::new, |t| format!(", template {t}"));
    format!(
        "{} ({}), held as {} on {}{template}, sha256 {}",
        model.name,
        model.description,
        model.load,
        model.device,
        shortened(&model.sha256)
    )
}

impl Report for TasksReport {
    fn text(&self) -> String {
        let row = |(report, score): (&TaskReport, &Score)| {
            vec![
                format!("{} v{}", report.task, report.version),
                report.shots.to_string(),
                format!("{} of {}", report.examples, report.of),
                score.measure.clone(),
                format!("{:.4}", score.value),
                score.standard_error.map_or_else(|| "–".to_owned(), |e| format!("{e:.4}")),
            ]
        };
        let header = ["task", "shots", "examples", "measure", "value", "± s.e."];
        let mut text = text_table(&header, &self.rows().map(row).collect::<Vec<_>>(), &[0, 2, 3]);
        for report in &self.reports {
            let _ = writeln!(text, "{}", settings(report));
            for note in &report.notes {
                let _ = writeln!(text, "{}: {note}", report.task);
            }
            if report.cut_prompts > 0 {
                let _ = writeln!(
                    text,
                    "{}: {} prompts lost their beginning to the model's context",
                    report.task, report.cut_prompts
                );
            }
        }
        if let Some(report) = self.reports.first() {
            let _ = writeln!(text, "model {}", model(report));
        }
        text
    }

    fn page(&self) -> Result<String, ReportError> {
        let mut environment = environment();
        environment.add_template("tasks", include_str!("tasks.html.j2"))?;
        let percent = |value: f64| format!("{:.1} %", 100.0 * value);
        let shares = shares(&self.reports);
        let bars: Vec<Bar> = shares
            .iter()
            .map(|(name, score)| Bar {
                name,
                value: score.value,
                interval: score.standard_error.map(|error| {
                    ((score.value - Z95 * error).max(0.0), (score.value + Z95 * error).min(1.0))
                }),
            })
            .collect();
        let mut groups = Vec::new();
        for report in self.reports.iter().filter(|report| !report.groups.is_empty()) {
            let mut sorted: Vec<_> = report.groups.iter().collect();
            sorted.sort_by(|a, b| b.value.total_cmp(&a.value));
            let bars: Vec<Bar> = sorted
                .iter()
                .map(|group| Bar { name: &group.group, value: group.value, interval: None })
                .collect();
            groups.push((report.task.clone(), interval_bars(&bars, 1.0, "share", percent)?));
        }
        Ok(environment.get_template("tasks")?.render(minijinja::context! {
            reports => minijinja::Value::from(minijinja::value::Serde(self)),
            settings => self.reports.iter().map(settings).collect::<Vec<_>>(),
            model => self.reports.first().map(model),
            camelid => self.reports.first().map(|report| report.camelid.as_str()),
            command => self.command.as_str(),
            style => PAGE_STYLE,
            plot => interval_bars(&bars, 1.0, "share of examples", percent)?,
            groups,
        })?)
    }
}

impl Tabular for TasksReport {
    fn frame(&self) -> PolarsResult<DataFrame> {
        let rows: Vec<(&TaskReport, &Score)> = self.rows().collect();
        let texts = |name: &str, of: fn(&TaskReport) -> &str| {
            Column::new(name.into(), rows.iter().map(|(report, _)| of(report)).collect::<Vec<_>>())
        };
        let counts = |name: &str, of: fn(&TaskReport) -> usize| {
            Column::new(name.into(), rows.iter().map(|(report, _)| of(report) as u64).collect::<Vec<_>>())
        };
        let columns = vec![
            texts("task", |report| &report.task),
            Column::new("version".into(), rows.iter().map(|(r, _)| r.version).collect::<Vec<_>>()),
            texts("definition_sha256", |report| &report.definition_sha256),
            texts("model", |report| &report.model.name),
            texts("model_sha256", |report| &report.model.sha256),
            texts("load", |report| &report.model.load),
            texts("device", |report| &report.model.device),
            counts("shots", |report| report.shots),
            counts("examples", |report| report.examples),
            counts("of", |report| report.of),
            Column::new("measure".into(), rows.iter().map(|(_, s)| s.measure.as_str()).collect::<Vec<_>>()),
            Column::new("value".into(), rows.iter().map(|(_, s)| s.value).collect::<Vec<_>>()),
            Column::new(
                "standard_error".into(),
                rows.iter().map(|(_, s)| s.standard_error).collect::<Vec<_>>(),
            ),
        ];
        DataFrame::new(rows.len(), columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{GroupScore, ModelFacts};

    fn report(task: &str, scores: Vec<Score>, groups: Vec<GroupScore>) -> TaskReport {
        TaskReport {
            task: task.to_owned(),
            version: 3,
            definition_sha256: "0123456789abcdef".repeat(4),
            model: ModelFacts {
                name: "<tiny>".to_owned(),
                description: "safetensors".to_owned(),
                sha256: "fedcba9876543210".repeat(4),
                load: "f32".to_owned(),
                template: None,
                device: "flex".to_owned(),
            },
            shots: 5,
            examples: 40,
            of: 400,
            seed: Some(7),
            settings: Vec::new(),
            cut_prompts: 2,
            notes: Vec::new(),
            scores,
            groups,
            seconds: 1.0,
            camelid: "0.1.0".to_owned(),
        }
    }

    #[test]
    fn scores_stand_with_their_errors_and_settings_in_text_page_and_frame() {
        let score = |measure: &str, value, standard_error| Score {
            measure: measure.to_owned(),
            value,
            standard_error,
            n: 40,
        };
        let groups = vec![
            GroupScore { group: "law".to_owned(), value: 0.25, n: 20 },
            GroupScore { group: "music".to_owned(), value: 0.75, n: 20 },
        ];
        let all = TasksReport::new(
            vec![
                report("mmlu", vec![score("accuracy", 0.5, Some(0.08))], groups),
                report("perplexity", vec![score("perplexity", 9.5, None)], Vec::new()),
            ],
            "camelid eval tasks".to_owned(),
        );
        let text = all.text();
        for part in ["mmlu v3", "40 of 400", "0.5000", "0.0800", "seed 7", "2 prompts lost", "0123456789ab"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        let page = all.page().unwrap();
        assert_eq!(page.matches("<svg").count(), 2, "the shares, and the subjects of one task");
        assert!(page.contains("music") && page.contains("&lt;tiny&gt;") && page.contains("50.0 %"), "{page}");
        let frame = all.frame().unwrap();
        assert_eq!((frame.height(), frame.width()), (2, 13));
        assert!(serde_json::to_value(&all).unwrap().is_array());
    }
}
