//! What became of an evolution: the funnel by round, operator and rule, difficulty, cost, and some
//! lines of descent.

use std::collections::{BTreeMap, BTreeSet};

use camelid_report::{Line, PAGE_STYLE, Report, ReportError, environment, line_chart, short, text_table};
use minijinja::Value;
use minijinja::value::Serde;
use serde::Serialize;

use crate::decontaminate::Hit;
use crate::forecast::Forecast;
use crate::lineage::{Row, Spent, Task};
use crate::reply::Equality;
use crate::rules::Rule;

/// Lines of descent that are shown.
const LINES: usize = 8;
/// Rows shown of each rule.
const EXAMPLES: usize = 3;

/// What became of some of the rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Passed {
    /// Evolutions made.
    pub made: usize,
    /// Those that live.
    pub lives: usize,
    /// Mean difficulty by the judge, from 1 to 10, of those that were rated.
    pub difficulty: Option<f64>,
    /// How many were rated.
    pub rated: usize,
    /// Rows that each rule ended.
    pub ended: BTreeMap<Rule, usize>,
}

impl Passed {
    fn of<'a>(rows: impl Iterator<Item = &'a Row>) -> Self {
        let mut passed = Self::default();
        let mut sum = 0.0;
        for row in rows {
            passed.made += 1;
            passed.lives += usize::from(row.lives());
            if let Some(difficulty) = row.difficulty {
                passed.rated += 1;
                sum += f64::from(difficulty);
            }
            if let Some(ended) = &row.ended {
                *passed.ended.entry(ended.rule).or_default() += 1;
            }
        }
        passed.difficulty = (passed.rated > 0).then(|| sum / passed.rated as f64);
        passed
    }
}

/// A row that a rule ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    /// Its id.
    pub id: String,
    /// The instruction that was evolved.
    pub parent: String,
    /// What came of it.
    pub instruction: String,
    /// The answer, where it got that far.
    pub response: Option<String>,
    /// What the rule found.
    pub found: String,
}

/// What was found of one test set.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Leaked {
    /// Rows that share text with it.
    pub rows: usize,
    /// Items of it that some row shares text with.
    pub items: usize,
}

/// A row that shares text with a test item.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FoundItem {
    /// The row's id.
    pub row: String,
    /// The item, and what is shared.
    #[serde(flatten)]
    pub hit: Hit,
}

/// Everything an evolution has to say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvolveReport {
    /// Seeds given.
    pub seeds: usize,
    /// Seeds that live.
    pub living_seeds: usize,
    /// Rows that live, seeds included.
    pub lives: usize,
    /// By round, from 0, the seeds.
    pub rounds: BTreeMap<usize, Passed>,
    /// By operator.
    pub operators: BTreeMap<String, Passed>,
    /// Judgements that said neither `Equal` nor `Not Equal`; their rows live on.
    pub unclear: usize,
    /// By test set that something was found of.
    pub leaked: BTreeMap<String, Leaked>,
    /// Every test item that was found, with the row.
    pub found_items: Vec<FoundItem>,
    /// By task and model. What failed attempts at a request may have cost is not in it.
    pub spent: Vec<Spent>,
    /// What was forecast before the first request, where that is known.
    pub forecast: Option<Forecast>,
    /// Some of the rows that each rule ended.
    pub examples: BTreeMap<Rule, Vec<Example>>,
    /// Some lines of descent: seed first, every row made of it.
    pub lines: Vec<Vec<Row>>,
}

impl EvolveReport {
    /// The report of a lineage.
    pub fn new(rows: &[Row]) -> Self {
        let evolved = || rows.iter().filter(|row| row.round > 0);
        let by_id: BTreeMap<&str, &Row> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
        let rounds: BTreeMap<usize, Vec<&Row>> = grouped(rows.iter().map(|row| (row.round, row)));
        let operators = grouped(evolved().filter_map(|row| Some((row.operator.clone()?, row))));
        let mut examples: BTreeMap<Rule, Vec<Example>> = BTreeMap::new();
        for row in rows {
            let Some(ended) = &row.ended else { continue };
            let shown = examples.entry(ended.rule).or_default();
            if shown.len() < EXAMPLES {
                let parent = row.parent.as_ref().and_then(|id| by_id.get(id.as_str()));
                shown.push(Example {
                    id: row.id.clone(),
                    parent: parent.map(|parent| parent.question()).unwrap_or_default(),
                    instruction: row.question(),
                    response: row.response.clone(),
                    found: ended.found.clone(),
                });
            }
        }
        let line = |seed| rows.iter().filter(|row| row.seed == seed).cloned().collect::<Vec<Row>>();
        // Those that went furthest tell most.
        let mut furthest: BTreeMap<usize, usize> = BTreeMap::new();
        for row in evolved().filter(|row| row.lives()) {
            *furthest.entry(row.seed).or_default() += 1;
        }
        let mut shown: Vec<(usize, usize)> = furthest.into_iter().collect();
        shown.sort_by_key(|&(seed, steps)| (std::cmp::Reverse(steps), seed));
        Self {
            seeds: rows.iter().filter(|row| row.round == 0).count(),
            living_seeds: rows.iter().filter(|row| row.round == 0 && row.lives()).count(),
            lives: rows.iter().filter(|row| row.lives()).count(),
            rounds: passed(rounds),
            operators: passed(operators),
            unclear: rows.iter().filter(|row| row.judged == Some(Equality::Unclear)).count(),
            leaked: leaked(rows),
            found_items: rows
                .iter()
                .flat_map(|row| {
                    row.hits.iter().map(|hit| FoundItem { row: row.id.clone(), hit: hit.clone() })
                })
                .collect(),
            spent: spent(rows),
            forecast: None,
            examples,
            lines: shown.into_iter().take(LINES).map(|(seed, _)| line(seed)).collect(),
        }
    }

    /// The report with what was forecast before the first request beside what it was.
    #[must_use]
    pub fn with_forecast(self, forecast: Forecast) -> Self {
        Self { forecast: Some(forecast), ..self }
    }

    /// Rules that ended something, with how many rows, the most first.
    pub fn rules(&self) -> Vec<(Rule, usize)> {
        let mut counts: BTreeMap<Rule, usize> = BTreeMap::new();
        for (rule, count) in self.rounds.values().flat_map(|passed| &passed.ended) {
            *counts.entry(*rule).or_default() += count;
        }
        let mut rules: Vec<(Rule, usize)> = counts.into_iter().collect();
        rules.sort_by_key(|&(rule, count)| (std::cmp::Reverse(count), rule));
        rules
    }
}

fn leaked(rows: &[Row]) -> BTreeMap<String, Leaked> {
    let mut found: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
    for row in rows {
        for hit in &row.hits {
            let (rows, items) = found.entry(&hit.set).or_default();
            rows.insert(&row.id);
            items.insert(&hit.id);
        }
    }
    let counted =
        |(rows, items): (BTreeSet<&str>, BTreeSet<&str>)| Leaked { rows: rows.len(), items: items.len() };
    found.into_iter().map(|(set, found)| (set.to_owned(), counted(found))).collect()
}

fn spent(rows: &[Row]) -> Vec<Spent> {
    let mut spent: BTreeMap<(Task, &str), Spent> = BTreeMap::new();
    for call in rows.iter().flat_map(|row| &row.calls) {
        let none = || Spent {
            task: call.task,
            model: call.model.clone(),
            calls: 0,
            prompt_tokens: 0,
            new_tokens: 0,
            cost: None,
        };
        let of = spent.entry((call.task, &call.model)).or_insert_with(none);
        of.calls += 1;
        of.prompt_tokens += call.prompt_tokens.unwrap_or(0);
        of.new_tokens += call.new_tokens.unwrap_or(0);
        if let Some(cost) = call.cost {
            *of.cost.get_or_insert(0.0) += cost;
        }
    }
    spent.into_values().collect()
}

fn grouped<'a, K: Ord>(rows: impl Iterator<Item = (K, &'a Row)>) -> BTreeMap<K, Vec<&'a Row>> {
    let mut groups: BTreeMap<K, Vec<&Row>> = BTreeMap::new();
    for (key, row) in rows {
        groups.entry(key).or_default().push(row);
    }
    groups
}

fn passed<K: Ord>(groups: BTreeMap<K, Vec<&Row>>) -> BTreeMap<K, Passed> {
    groups.into_iter().map(|(key, rows)| (key, Passed::of(rows.into_iter()))).collect()
}

impl Report for EvolveReport {
    fn text(&self) -> String {
        let share = |part: usize, of: usize| {
            if of == 0 { "–".to_owned() } else { format!("{:.1} %", 100.0 * part as f64 / of as f64) }
        };
        let row = |name: String, passed: &Passed| {
            vec![
                name,
                passed.made.to_string(),
                passed.lives.to_string(),
                share(passed.lives, passed.made),
                passed.difficulty.map_or("–".to_owned(), |mean| format!("{mean:.2}")),
            ]
        };
        let head = |name| [name, "made", "live", "pass", "difficulty"];
        let rounds: Vec<_> = self.rounds.iter().map(|(at, passed)| row(at.to_string(), passed)).collect();
        let operators: Vec<_> =
            self.operators.iter().map(|(name, passed)| row(name.clone(), passed)).collect();
        let made: usize = self.rounds.values().map(|passed| passed.made).sum();
        let rules: Vec<_> = self
            .rules()
            .into_iter()
            .map(|(rule, count)| vec![rule.to_string(), count.to_string(), share(count, made)])
            .collect();
        let spent: Vec<_> = self
            .spent
            .iter()
            .map(|spent| {
                vec![
                    spent.task.to_string(),
                    spent.model.clone(),
                    spent.calls.to_string(),
                    spent.prompt_tokens.to_string(),
                    spent.new_tokens.to_string(),
                    spent.cost.map_or("–".to_owned(), short),
                ]
            })
            .collect();
        let leaked: Vec<_> = self
            .leaked
            .iter()
            .map(|(set, found)| vec![set.clone(), found.rows.to_string(), found.items.to_string()])
            .collect();
        let spent = if self.forecast.is_some() { Vec::new() } else { spent };
        let head_spent = ["task", "model", "calls", "prompt tokens", "new tokens", "cost"];
        let tables = [
            (&head("round")[..], rounds, &[0][..]),
            (&head("operator"), operators, &[0]),
            (&["ended by", "rows", "share"], rules, &[0]),
            (&["test set", "rows", "items"], leaked, &[0]),
            (&head_spent, spent, &[0, 1]),
        ];
        let filled = tables.into_iter().filter(|(_, rows, _)| !rows.is_empty());
        let text = filled.map(|(head, rows, left)| format!("\n{}", text_table(head, &rows, left)));
        let reconciled = self.forecast.as_ref().map(|forecast| format!("\n{}", forecast.beside(&self.spent)));
        format!(
            "{} seeds, {} rows that live\n{}{}",
            self.seeds,
            self.lives,
            text.collect::<String>(),
            reconciled.unwrap_or_default()
        )
    }

    fn page(&self) -> Result<String, ReportError> {
        let points =
            self.rounds.iter().filter_map(|(&round, passed)| Some((round as f64, passed.difficulty?)));
        let rated = Line { name: "difficulty", points: points.collect() };
        let plot = line_chart(&[rated], "round", "difficulty by the judge, 1 to 10")?;
        let mut environment = environment();
        environment.add_template("evolve", include_str!("report.html.j2"))?;
        let rules: Vec<_> = self
            .rules()
            .into_iter()
            .map(|(rule, count)| (rule.to_string(), count, self.examples.get(&rule)))
            .collect();
        Ok(environment.get_template("evolve")?.render(minijinja::context! {
            style => PAGE_STYLE, plot, report => Value::from(Serde(self)), rules => Value::from(Serde(&rules)),
        })?)
    }
}
