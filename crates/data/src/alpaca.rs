//! Rows of one instruction each: Alpaca's `instruction` / `input` / `output`, Dolly's `instruction` /
//! `context` / `response`, and files with other names for the three.

use std::path::Path;

use camelid_chat::{Message, Role};
use camelid_files::Record;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dialogue::{self, Change, Rules};
use crate::fields::{self, Fields, Problem};
use crate::load::{Converted, load as load_rows, not_empty};
use crate::rows::Rows;
use crate::{DataError, LoadReport, Loaded};

/// How a row's `input` joins its `instruction` in the user's message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputAs {
    /// On the next line, as LLaMA-Factory and FastChat do.
    #[default]
    NextLine,
    /// Under a heading, `"\n\n### Input:\n"`, as Stanford Alpaca's prompt has it.
    Section,
}

/// How rows of instructions become conversations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlpacaOptions {
    /// How `input` joins `instruction`.
    pub input_as: InputAs,
    /// Whether an `input` beside a blank `instruction` is the question; such a row is dropped otherwise.
    pub input_alone: bool,
    /// The field with the instruction, where it is none of `instruction`, `prompt`, `question`, `query`.
    pub instruction: Option<String>,
    /// The field with the input, where it is none of `input`, `context`, `query`.
    pub input: Option<String>,
    /// The field with the answer, where it is none of `output`, `response`, `answer`, `completion`.
    pub output: Option<String>,
}

impl Default for AlpacaOptions {
    fn default() -> Self {
        Self { input_as: InputAs::default(), input_alone: true, instruction: None, input: None, output: None }
    }
}

const INSTRUCTION: [&str; 4] = ["instruction", "prompt", "question", "query"];
const INPUT: [&str; 3] = ["input", "context", "query"];
const OUTPUT: [&str; 4] = ["output", "response", "answer", "completion"];

/// Whether a row has an instruction or an input, and an answer, by names that this loader knows.
pub(crate) fn fits(row: &Fields) -> bool {
    let has_text = |names: &[&str]| names.iter().any(|name| row.get(*name).is_some_and(Value::is_string));
    has_text(&OUTPUT) && (has_text(&INSTRUCTION) || has_text(&INPUT))
}

/// Reads Alpaca data. `system` and `history` (earlier question and answer pairs)
/// are used where present. Ids are the rows' own, else `<file stem>:<item or line,
/// from 1>`. Rows with a blank instruction and input, or a blank output, are
/// dropped, counted and named.
///
/// # Errors
/// A file that cannot be read or is cut off inside of an array; no usable row.
pub fn load(path: &Path, input_as: InputAs) -> Result<Loaded, DataError> {
    let options = AlpacaOptions { input_as, ..AlpacaOptions::default() };
    not_empty(read(Rows::open(path)?, &options, Rules::default())?, path)
}

pub(crate) fn read(mut rows: Rows, options: &AlpacaOptions, rules: Rules) -> Result<Loaded, DataError> {
    let named = |own: &Option<String>, names: &[&'static str]| match own {
        Some(name) => vec![name.clone()],
        None => names.iter().map(ToString::to_string).collect(),
    };
    let names = Names {
        instruction: named(&options.instruction, &INSTRUCTION),
        input: named(&options.input, &INPUT),
        output: named(&options.output, &OUTPUT),
    };
    let all = names.instruction.iter().chain(&names.input).chain(&names.output).map(String::as_str);
    rows.only(&all.chain(["id", "system", "history"]).collect::<Vec<_>>());
    load_rows(
        rows,
        "rows",
        |record: &Record| fields::id(&record.fields, "id"),
        |id, record, report| conversation(id, &record.fields, &names, options, rules, report),
    )
}

/// Names to look for, the first that is there counts.
struct Names {
    instruction: Vec<String>,
    input: Vec<String>,
    output: Vec<String>,
}

fn conversation(
    id: &str,
    row: &Fields,
    names: &Names,
    options: &AlpacaOptions,
    rules: Rules,
    report: &mut LoadReport,
) -> Converted {
    let mut changes: Vec<Change> = Vec::new();
    let (asked_in, instruction) = text(row, "instruction", &names.instruction, None, report)?.unzip();
    let instruction = instruction.unwrap_or_default();
    let input = text(row, "input", &names.input, asked_in, report)?.map(|(_, input)| input);
    let input = input.filter(|input| !input.trim().is_empty());
    let Some((_, output)) = text(row, "output", &names.output, None, report)? else {
        let name = &names.output[0];
        if row.contains_key(name) {
            return Err(Problem::field(name, row.get(name), "a text"));
        }
        let found = row.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(Problem::with(format!("no `{name}`"), format!("it has {found}")));
    };
    let asked = match (instruction.trim().is_empty(), input, options.input_as) {
        (true, None, _) => return Err(Problem::new("blank instruction")),
        (true, Some(_), _) if !options.input_alone => return Err(Problem::new("blank instruction")),
        (true, Some(input), _) => {
            changes.push(("`input` alone, read as the question".into(), None));
            input
        }
        (false, None, _) => instruction,
        (false, Some(input), InputAs::NextLine) => format!("{instruction}\n{input}"),
        (false, Some(input), InputAs::Section) => format!("{instruction}\n\n### Input:\n{input}"),
    };
    let mut messages = Vec::new();
    if let Some(system) = fields::optional_text(row, "system")? {
        messages.push(Message::new(Role::System, system));
    }
    for (question, answer) in history(row)? {
        messages.push(Message::new(Role::User, question));
        messages.push(Message::new(Role::Assistant, answer));
    }
    messages.push(Message::new(Role::User, asked));
    let blank_output = output.trim().is_empty();
    messages.push(Message::new(Role::Assistant, output));
    match dialogue::conversation(id, messages, rules) {
        Ok((conversation, more)) => {
            let about_system = |change: &Change| change.0.contains("blank system message");
            changes.extend(more.into_iter().filter(|change| !about_system(change)));
            Ok((conversation, changes))
        }
        Err(_) if blank_output => Err(Problem::new("blank output")),
        Err(problem) => Err(problem),
    }
}

/// The text under the first of several names, but for one that is taken already; the report says
/// where it is not the usual name.
fn text<'n>(
    row: &Fields,
    usual: &str,
    names: &'n [String],
    taken: Option<&str>,
    report: &mut LoadReport,
) -> Result<Option<(&'n str, String)>, Problem> {
    let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| Some(*name) != taken).collect();
    match fields::first(row, &names) {
        None => Ok(None),
        Some((name, Value::String(text))) => {
            if name != usual {
                report.note(format!("`{name}` is read as the {usual}"));
            }
            Ok(Some((name, text.clone())))
        }
        Some((name, other)) => Err(Problem::field(name, Some(other), "a text")),
    }
}

/// Earlier questions and answers: a list of pairs, or such a list as JSON text.
fn history(row: &Fields) -> Result<Vec<(String, String)>, Problem> {
    let Some(value) = fields::get(row, "history") else { return Ok(Vec::new()) };
    let parsed: Value;
    let pairs = match value {
        Value::String(text) if text.trim().is_empty() => return Ok(Vec::new()),
        Value::String(text) => {
            parsed = serde_json::from_str(text).unwrap_or(Value::Null);
            &parsed
        }
        other => other,
    };
    let Value::Array(pairs) = pairs else {
        return Err(Problem::field("history", Some(value), "a list of question and answer pairs"));
    };
    let pair = |(index, pair): (usize, &Value)| match pair.as_array().map(Vec::as_slice) {
        Some([Value::String(question), Value::String(answer)]) => Ok((question.clone(), answer.clone())),
        other => {
            let found = match other {
                Some(texts) if texts.iter().all(Value::is_string) => format!("{} texts", texts.len()),
                _ => fields::Short(pair).to_string(),
            };
            let detail = format!("entry {} is {found}; a question and an answer are expected", index + 1);
            Err(Problem::with("`history` is not a list of question and answer pairs", detail))
        }
    };
    pairs.iter().enumerate().map(pair).collect()
}
