//! From rows to what is asked.

use std::collections::{BTreeMap, HashSet};

use minijinja::value::{Value, ValueKind};

use super::definition::{Files, Task};
use super::error::TaskError;
use super::rows::{self, DataPlaces, Row};
use super::template::{NULL, Variables};
use crate::answers::Protocol;

/// A row with its id and group, before its prompt is written.
#[derive(Debug)]
pub(super) struct Item {
    pub id: String,
    pub group: String,
    pub row: Row,
}

/// What is asked about one row, and what is right.
#[derive(Debug)]
pub(super) struct Example {
    /// All the model is shown: preamble, solved examples, question.
    pub prompt: String,
    pub ask: Ask,
}

#[derive(Debug)]
pub(super) enum Ask {
    /// Which continuation is likeliest?
    Choice { continuations: Vec<String>, characters: Vec<usize>, gold: usize },
    /// What number or expression does the answer end in?
    Answer { gold: String },
    /// Does the program pass? Its text comes from [`Examples::program`].
    Program,
    /// How likely is this text?
    Text(String),
}

/// Everything needed to write the prompts of a task.
#[derive(Debug)]
pub(super) struct Examples<'a> {
    task: &'a Task,
    shots: usize,
    /// Solved examples by group; all under "" when groups do not matter.
    solved: BTreeMap<String, Vec<Solved>>,
}

#[derive(Debug)]
struct Solved {
    id: String,
    text: String,
}

impl Task {
    /// The patterns of files that `places` hold none for: of the task's rows and, unless none are asked
    /// for, of its solved examples. Nothing is lacking where this is empty.
    pub fn lacking(&self, places: &DataPlaces, shots: Option<usize>) -> Vec<String> {
        let solved = self.definition.shots.as_ref().filter(|section| shots.unwrap_or(section.count) > 0);
        std::iter::once(&self.definition.data.files)
            .chain(solved.map(|section| &section.files))
            .filter(|files| files.iter().all(|f| places.find(&f.pattern).is_empty()))
            .map(|files| patterns(files))
            .collect()
    }

    /// All rows of the task, with ids and groups.
    pub(super) fn items(&self, places: &DataPlaces) -> Result<Vec<Item>, TaskError> {
        let rows = self.rows(&self.definition.data.files, places)?;
        let mut ids = HashSet::with_capacity(rows.len());
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let item = self.item(row)?;
            if !ids.insert(item.id.clone()) {
                let problem = format!("the id `{}` comes twice; `data.id` must tell rows apart", item.id);
                return Err(TaskError::Row { place: item.row.place, problem });
            }
            items.push(item);
        }
        if items.is_empty() {
            return Err(self.setting("its files hold no rows"));
        }
        Ok(items)
    }

    fn item(&self, row: Row) -> Result<Item, TaskError> {
        let variables = Variables::of(&row);
        let id = self.text("data.id", &variables, &row)?.unwrap_or_default();
        let group = self.text("data.group", &variables, &row)?.unwrap_or_default();
        Ok(Item { id, group, row })
    }

    /// The rows of the first alternative that is there, each with all fields it has to have.
    fn rows(&self, alternatives: &[Files], places: &DataPlaces) -> Result<Vec<Row>, TaskError> {
        let found =
            alternatives.iter().map(|a| (a, places.find(&a.pattern))).find(|(_, files)| !files.is_empty());
        let Some((alternative, files)) = found else {
            let sources = &self.definition.data.sources;
            return Err(TaskError::NoData {
                task: self.definition.name.clone(),
                patterns: patterns(alternatives),
                places: places.describe(),
                sources: if sources.is_empty() {
                    String::new()
                } else {
                    format!("; the catalogue has it as {}", sources.join(" and "))
                },
            });
        };
        let mut rows = Vec::new();
        for file in files {
            rows.extend(rows::read(&file, alternative.inner.as_deref())?);
        }
        for row in &rows {
            if let Some(field) = self.definition.data.fields.iter().find(|f| !row.fields.contains_key(*f)) {
                return Err(TaskError::Row {
                    place: row.place.clone(),
                    problem: format!("no field `{field}`; there are: {}", rows::names(&row.fields)),
                });
            }
        }
        Ok(rows)
    }

    /// A template's text for a row.
    fn text(&self, name: &str, variables: &Variables, row: &Row) -> Result<Option<String>, TaskError> {
        self.templates.render(name, variables).map_err(|problem| self.row_error(row, problem))
    }

    fn row_error(&self, row: &Row, problem: String) -> TaskError {
        TaskError::Row {
            place: row.place.clone(),
            problem: format!("task {}: {problem}", self.definition.name),
        }
    }

    pub(super) fn setting(&self, problem: impl Into<String>) -> TaskError {
        TaskError::Setting { task: self.definition.name.clone(), problem: problem.into() }
    }
}

/// The patterns of alternatives, for messages.
fn patterns(alternatives: &[Files]) -> String {
    alternatives.iter().map(|a| a.pattern.as_str()).collect::<Vec<_>>().join(" or ")
}

impl<'a> Examples<'a> {
    /// Reads the solved examples that prompts begin with.
    pub(super) fn new(task: &'a Task, places: &DataPlaces, shots: Option<usize>) -> Result<Self, TaskError> {
        let mut examples = Self { task, shots: 0, solved: BTreeMap::new() };
        let Some(section) = &task.definition.shots else {
            return match shots {
                None | Some(0) => Ok(examples),
                Some(n) => Err(task.setting(format!("{n} shots were asked for, it defines none"))),
            };
        };
        examples.shots = shots.unwrap_or(section.count);
        if examples.shots == 0 {
            return Ok(examples);
        }
        for row in task.rows(&section.files, places)? {
            let item = task.item(row)?;
            let group = if section.same_group { item.group.clone() } else { String::new() };
            let solved = examples.solved.entry(group).or_default();
            // One more than needed, in case one is the question itself.
            if solved.len() <= examples.shots {
                solved.push(Solved { text: examples.task.solved(&item)?, id: item.id });
            }
        }
        Ok(examples)
    }

    /// How many solved examples come first.
    pub(super) fn shots(&self) -> usize {
        self.shots
    }

    /// Every solved example.
    pub(super) fn solved_texts(&self) -> impl Iterator<Item = &str> {
        self.solved.values().flatten().map(|solved| solved.text.as_str())
    }

    /// What is asked about a row.
    pub(super) fn example(&self, item: &Item) -> Result<Example, TaskError> {
        let definition = &self.task.definition;
        let (row, variables) = (&item.row, Variables::of(&item.row));
        let text = |name: &str| self.task.text(name, &variables, row);
        let ask = if definition.multiple_choice.is_some() {
            let choices = self.task.choices(item)?;
            Ask::Choice {
                continuations: choices.continuations,
                characters: choices.characters,
                gold: choices.gold,
            }
        } else if let Some(form) = definition.generated(Protocol::Camelid) {
            let answer = text(form.gold)?.unwrap_or_default();
            let gold = form.grading.read(&answer).ok_or_else(|| {
                self.task.row_error(row, format!("`{}` holds no answer: {answer:?}", form.gold))
            })?;
            Ask::Answer { gold: gold.value }
        } else if definition.program.is_some() {
            Ask::Program
        } else {
            Ask::Text(text("perplexity.text")?.unwrap_or_default())
        };
        Ok(Example { prompt: self.prompt(item)?, ask })
    }

    fn prompt(&self, item: &Item) -> Result<String, TaskError> {
        let Some(prompt) = &self.task.definition.prompt else { return Ok(String::new()) };
        let variables = Variables::of(&item.row);
        let text = |name: &str| self.task.text(name, &variables, &item.row).map(Option::unwrap_or_default);
        let mut all = text("prompt.preamble")?;
        for solved in self.solved_for(item)? {
            all.push_str(&solved.text);
            all.push_str(&prompt.separator);
        }
        all.push_str(&text("prompt.question")?);
        Ok(all)
    }

    fn solved_for(&self, item: &Item) -> Result<Vec<&Solved>, TaskError> {
        if self.shots == 0 {
            return Ok(Vec::new());
        }
        let same_group = self.task.definition.shots.as_ref().is_some_and(|s| s.same_group);
        let group = if same_group { item.group.as_str() } else { "" };
        let all = self.solved.get(group).map_or(&[][..], Vec::as_slice);
        let chosen: Vec<&Solved> =
            all.iter().filter(|s| s.id != item.id || !self.same_file()).take(self.shots).collect();
        if chosen.len() < self.shots {
            let of = if group.is_empty() { String::new() } else { format!(" of group `{group}`") };
            let (wanted, there) = (self.shots, chosen.len());
            return Err(self
                .task
                .setting(format!("{wanted} shots were asked for, its files hold {there}{of}")));
        }
        Ok(chosen)
    }

    /// Whether solved examples and questions come from the same files, so that equal ids mean
    /// the same row.
    fn same_file(&self) -> bool {
        self.task.definition.shots.as_ref().is_some_and(|s| s.files == self.task.definition.data.files)
    }

    /// The whole program that a completion makes.
    pub(super) fn program(&self, item: &Item, completion: &str) -> Result<String, TaskError> {
        let variables = Variables::of(&item.row).with("completion", completion);
        Ok(self.task.text("program.program", &variables, &item.row)?.unwrap_or_default())
    }
}

struct Choices {
    continuations: Vec<String>,
    characters: Vec<usize>,
    gold: usize,
}

impl Task {
    /// A solved example: question and right answer.
    fn solved(&self, item: &Item) -> Result<String, TaskError> {
        let variables = Variables::of(&item.row);
        let mut text = self.text("prompt.question", &variables, &item.row)?.unwrap_or_default();
        match self.text("shots.answer", &variables, &item.row)? {
            Some(answer) => text.push_str(&answer),
            None => {
                let choices = self.choices(item)?;
                text.push_str(&choices.continuations[choices.gold]);
            }
        }
        Ok(text)
    }

    /// The choices of a row as they follow the question; their lengths are those of the choices
    /// themselves, in characters.
    fn choices(&self, item: &Item) -> Result<Choices, TaskError> {
        let row = &item.row;
        let wrong = |problem: String| self.row_error(row, problem);
        let Some(section) = &self.definition.multiple_choice else {
            return Err(wrong("it has no `multiple_choice`, and `shots.answer` is missing".into()));
        };
        let variables = Variables::of(row);
        let value = self
            .templates
            .evaluate("multiple_choice.choices", &section.choices, &variables)
            .map_err(wrong)?;
        if value.kind() != ValueKind::Seq {
            return Err(wrong(format!("`multiple_choice.choices` is {value}, expected a list")));
        }
        let items = value.try_iter().map_err(|error| wrong(format!("`multiple_choice.choices`: {error}")))?;
        let text = |item: Value| match item.is_none() {
            true => Err(wrong(format!("`multiple_choice.choices`: {NULL}"))),
            false => Ok(item.to_string()),
        };
        let texts: Vec<String> = items.map(text).collect::<Result<_, _>>()?;
        let gold =
            self.templates.evaluate("multiple_choice.gold", &section.gold, &variables).map_err(wrong)?;
        let gold = gold.as_usize().filter(|g| *g < texts.len()).ok_or_else(|| {
            wrong(format!("`multiple_choice.gold` is {gold}, expected an index below {}", texts.len()))
        })?;
        let mut continuations = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let letter = char::from_u32('A' as u32 + index as u32).unwrap_or('?').to_string();
            let seen =
                Variables::of(row).with("choice", text.as_str()).with("letter", letter).with("index", index);
            continuations.push(self.text("multiple_choice.continuation", &seen, row)?.unwrap_or_default());
        }
        Ok(Choices { continuations, characters: texts.iter().map(|t| t.chars().count()).collect(), gold })
    }
}
