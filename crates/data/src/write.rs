//! Conversations written in the formats that the loaders read.

use std::io::{self, Write};
use std::path::Path;

use camelid_chat::{Conversation, Role};
use camelid_files::{PackedFile, WholeFile};
use polars::prelude::{
    Column, DataFrame, IntoColumn, IntoSeries, NamedFrom, ParquetWriter, PolarsResult, Series,
};
use serde_json::{Value, json};

use crate::format::DataFormat;
use crate::load::Ids;
use crate::report::Named;
use crate::{DataError, LoadReport};

/// The formats that conversations can be written in.
pub const WRITABLE: [DataFormat; 4] =
    [DataFormat::Sharegpt, DataFormat::Alpaca, DataFormat::Messages, DataFormat::OasstFlat];

/// Rows of a group in Parquet files.
const ROW_GROUP: usize = 4096;

/// Writes conversations as JSON (`.json`, one array), JSON lines (`.jsonl`), either also packed (`.gz`,
/// `.zst`), or Parquet (`.parquet`), by the ending of `path`. The file appears whole or not at all.
///
/// The report counts conversations: kept are those written, and `changed` says what the format cannot
/// hold and was left out. Alpaca's rows hold the last question and answer, those before as `history` (in
/// Parquet as JSON text) and one system message as `system`; OASST's messages no system message. An OASST tree is made of each conversation, whose last message has its id.
///
/// # Errors
/// [`DataError::Option`] for a format that is not [`WRITABLE`] or another ending; a full disk.
pub fn write_conversations(
    format: DataFormat,
    conversations: &[Conversation],
    path: &Path,
) -> Result<LoadReport, DataError> {
    check(format)?;
    let mut report = LoadReport::new("conversations");
    let mut rows = rows(format, conversations, &mut report);
    let failed = DataError::io(path, "write");
    match Form::named(path)? {
        Form::Lines => {
            let mut file = PackedFile::create(path)?;
            lines(&mut file, &mut rows).map_err(failed)?;
            file.finish()?;
        }
        Form::Array => {
            let mut file = PackedFile::create(path)?;
            array(&mut file, &mut rows).map_err(failed)?;
            file.finish()?;
        }
        Form::Table => {
            let mut file = WholeFile::create(path)?;
            parquet(&mut file, format, &mut rows).map_err(|error| DataError::Parquet {
                path: path.to_path_buf(),
                message: format!("cannot be written: {error}"),
            })?;
            file.finish()?;
        }
    }
    drop(rows);
    Ok(report)
}

/// How rows are written.
enum Form {
    Lines,
    Array,
    Table,
}

impl Form {
    fn named(path: &Path) -> Result<Self, DataError> {
        let name = camelid_files::name(path);
        let text = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
        match (Path::new(text).extension().and_then(|ending| ending.to_str()), text == name) {
            (Some("jsonl"), _) => Ok(Self::Lines),
            (Some("json"), _) => Ok(Self::Array),
            (Some("parquet"), true) => Ok(Self::Table),
            _ => {
                let endings = ".json or .jsonl, alone or with .gz or .zst behind it, or .parquet";
                Err(DataError::Option(format!("{}: the ending should be {endings}", path.display())))
            }
        }
    }
}

/// That [`write_conversations`] can write a file of this name.
///
/// # Errors
/// [`DataError::Option`] with the endings it takes.
pub fn check_ending(path: &Path) -> Result<(), DataError> {
    Form::named(path).map(|_| ())
}

/// As [`write_conversations`], as JSON lines into anything.
///
/// # Errors
/// [`DataError::Option`] for a format that is not [`WRITABLE`]. Errors of the writer are the inner result.
pub fn write_json_lines(
    format: DataFormat,
    conversations: &[Conversation],
    output: &mut impl Write,
) -> Result<io::Result<LoadReport>, DataError> {
    check(format)?;
    let mut report = LoadReport::new("conversations");
    let written = lines(output, &mut rows(format, conversations, &mut report));
    Ok(written.map(|()| report))
}

fn check(format: DataFormat) -> Result<(), DataError> {
    if WRITABLE.contains(&format) {
        return Ok(());
    }
    let formats = WRITABLE.map(DataFormat::as_str).join(", ");
    Err(DataError::Option(format!("`{format}` cannot be written; {formats} can")))
}

/// All rows, made as they are asked for.
fn rows(
    format: DataFormat,
    conversations: &[Conversation],
    report: &mut LoadReport,
) -> impl Iterator<Item = Value> {
    let mut ids = Ids::default();
    conversations.iter().flat_map(move |conversation| {
        report.keep();
        rows_of(format, conversation, &mut ids, report)
    })
}

fn lines(output: &mut impl Write, rows: &mut impl Iterator<Item = Value>) -> io::Result<()> {
    for row in rows {
        serde_json::to_writer(&mut *output, &row)?;
        output.write_all(b"\n")?;
    }
    output.flush()
}

fn array(output: &mut impl Write, rows: &mut impl Iterator<Item = Value>) -> io::Result<()> {
    let mut before = "[\n";
    for row in rows {
        output.write_all(before.as_bytes())?;
        serde_json::to_writer(&mut *output, &row)?;
        before = ",\n";
    }
    output.write_all(if before == "[\n" { b"[]\n" } else { b"\n]\n" })
}

/// Row groups of a few thousand rows, so that not all are in memory as columns.
fn parquet(
    file: &mut WholeFile,
    format: DataFormat,
    rows: &mut impl Iterator<Item = Value>,
) -> PolarsResult<()> {
    let mut rows = rows.map(|row| if format == DataFormat::Alpaca { with_every_column(row) } else { row });
    let rows = &mut rows;
    let mut group: Vec<Value> = rows.take(ROW_GROUP).collect();
    let mut columns = frame(format, &group)?;
    let mut writer = ParquetWriter::new(file).batched(columns.schema())?;
    while !group.is_empty() {
        writer.write_batch(&columns)?;
        group = rows.take(ROW_GROUP).collect();
        columns = frame(format, &group)?;
    }
    writer.finish()?;
    Ok(())
}

/// An Alpaca row with the columns that only some have, the history as JSON text.
fn with_every_column(mut row: Value) -> Value {
    let history = row.get("history").map(Value::to_string);
    row["system"] = row.get("system").cloned().unwrap_or_default();
    row["history"] = history.map_or(Value::Null, Value::String);
    row
}

/// The rows of a conversation: one, but for OASST's one per message.
fn rows_of(
    format: DataFormat,
    conversation: &Conversation,
    ids: &mut Ids,
    report: &mut LoadReport,
) -> Vec<Value> {
    let id = &conversation.id;
    match format {
        DataFormat::Alpaca => vec![alpaca(conversation, report)],
        DataFormat::OasstFlat => oasst(conversation, ids, report),
        DataFormat::Messages => {
            let messages = conversation.messages.iter();
            let messages: Vec<Value> =
                messages.map(|m| json!({"role": m.role.as_str(), "content": m.content})).collect();
            vec![json!({"id": id, "messages": messages})]
        }
        _ => {
            let from = |role| match role {
                Role::System => "system",
                Role::User => "human",
                Role::Assistant => "gpt",
            };
            let turns = conversation.messages.iter();
            let turns: Vec<Value> =
                turns.map(|m| json!({"from": from(m.role), "value": m.content})).collect();
            vec![json!({"id": id, "conversations": turns})]
        }
    }
}

fn item(conversation: &Conversation) -> Named {
    Named { id: conversation.id.clone(), ..Named::default() }
}

/// A row whose question and answer are the last of the conversation; those before are its `history`, as
/// LLaMA-Factory has it, a system message its `system`.
fn alpaca(conversation: &Conversation, report: &mut LoadReport) -> Value {
    let mut systems = conversation.messages.iter().filter(|message| message.role == Role::System);
    let system = systems.next();
    if systems.next().is_some() {
        report.change("system messages after the first, left out", item(conversation));
    }
    let mut turns = conversation.messages.iter().filter(|message| message.role != Role::System).peekable();
    let mut rounds: Vec<[&str; 2]> = Vec::new();
    while let Some(question) = turns.next_if(|message| message.role == Role::User)
        && let Some(answer) = turns.next_if(|message| message.role == Role::Assistant)
    {
        rounds.push([&question.content, &answer.content]);
    }
    let more = conversation.messages.iter().filter(|m| m.role != Role::System).count() - 2 * rounds.len();
    let question = match more {
        0 => "",
        more => {
            let detail = Some(format!("{more} turns"));
            report.change("turns after the last answer, left out", Named { detail, ..item(conversation) });
            conversation.messages.iter().find(|m| m.role == Role::User).map_or("", |m| m.content.as_str())
        }
    };
    let [question, answer] = rounds.pop().unwrap_or([question, ""]);
    let mut row = json!({"id": conversation.id, "instruction": question, "input": "", "output": answer});
    if let Some(system) = system {
        row["system"] = system.content.as_str().into();
    }
    if !rounds.is_empty() {
        row["history"] = json!(rounds);
    }
    row
}

fn oasst(conversation: &Conversation, ids: &mut Ids, report: &mut LoadReport) -> Vec<Value> {
    let turns: Vec<_> = conversation.messages.iter().filter(|message| message.role != Role::System).collect();
    if turns.len() < conversation.messages.len() {
        report.change("a system message, left out", item(conversation));
    }
    let last = turns.len();
    let mut tree: Option<String> = None;
    let mut parent: Option<String> = None;
    let mut rows = Vec::with_capacity(last);
    for (number, message) in (1..).zip(turns) {
        let id = &conversation.id;
        let id = if number == last { id.clone() } else { format!("{id}.{number}") };
        let id = ids.allot(id, number as u64);
        let tree = tree.get_or_insert_with(|| id.clone());
        let assistant = message.role == Role::Assistant;
        rows.push(json!({
            "message_id": id,
            "parent_id": parent,
            "text": message.content,
            "role": if assistant { "assistant" } else { "prompter" },
            "lang": null,
            "deleted": false,
            "synthetic": false,
            "rank": assistant.then_some(0),
            "message_tree_id": tree,
            "tree_state": "ready_for_export",
        }));
        parent = Some(id);
    }
    rows
}

/// The rows as columns: texts, whole numbers and truth values by what they hold, turns as lists of
/// structs of texts.
fn frame(format: DataFormat, rows: &[Value]) -> PolarsResult<DataFrame> {
    let names: Vec<String> =
        rows.first().and_then(Value::as_object).map(|row| row.keys().cloned().collect()).unwrap_or_default();
    let columns: Vec<Column> = names
        .iter()
        .map(|key| {
            let cells = rows.iter().map(|row| &row[key.as_str()]);
            let name = key.as_str().into();
            Ok(match rows[0][key.as_str()] {
                Value::Array(_) => {
                    let lists: Vec<Series> = cells.map(turns).collect::<PolarsResult<_>>()?;
                    Series::new(name, lists).into_column()
                }
                Value::Bool(_) => Column::new(name, cells.map(Value::as_bool).collect::<Vec<_>>()),
                _ if format == DataFormat::OasstFlat && key == "rank" => {
                    Column::new(name, cells.map(Value::as_i64).collect::<Vec<_>>())
                }
                _ => Column::new(name, cells.map(Value::as_str).collect::<Vec<_>>()),
            })
        })
        .collect::<PolarsResult<_>>()?;
    DataFrame::new(rows.len(), columns)
}

/// A list of turns as a series of structs of texts.
pub(crate) fn turns(list: &Value) -> PolarsResult<Series> {
    let turns = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let keys: Vec<String> = turns
        .first()
        .and_then(Value::as_object)
        .map(|turn| turn.keys().cloned().collect())
        .unwrap_or_default();
    let column = |key: &String| {
        let texts: Vec<Option<&str>> = turns.iter().map(|turn| turn[key.as_str()].as_str()).collect();
        Column::new(key.as_str().into(), texts)
    };
    let frame = DataFrame::new(turns.len(), keys.iter().map(column).collect())?;
    Ok(frame.into_struct("turn".into()).into_series())
}
